//! What a run found, for people and for programs.

use crate::recorder::{LongestGap, Measured, latencies};
use hdrhistogram::Histogram;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;

/// What a run found. Latencies count from the moment a request was due.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// Requests that were answered as they should be, while measuring.
    pub operations: u64,
    /// How long was measured, in seconds.
    pub seconds: f64,
    /// Answered requests a second.
    pub operations_per_second: f64,
    /// Latency of the answered requests.
    pub latency: Latency,
    /// Errors by their first word. The client's own words are `TIMEOUT` and `DISCONNECTED`
    /// (requests of unknown outcome), `ABANDONED` (the same, at the end of the run),
    /// `UNREACHABLE` (requests that were never sent), `CONNECT` (attempts to connect),
    /// `REDIRECTIONS` (too many) and `PROTOCOL` (an answer that makes no sense).
    pub errors: BTreeMap<String, u64>,
    /// `MOVED` redirections that were followed.
    pub moved: u64,
    /// `ASK` redirections that were followed.
    pub asked: u64,
    /// Connections that were made again.
    pub reconnects: u64,
    /// Requests that were due by the end and never sent, because no client was free.
    pub unsent: u64,
    /// The longest time in which no request at all succeeded.
    pub longest_gap: Gap,
    /// The same for each slot range that was asked, in the order of the slots.
    pub range_gaps: Vec<Gap>,
    /// CPU time of the load threads for each answered request, in microseconds.
    pub client_cpu_micros: Option<f64>,
    /// CPU time of the given processes for each answered request, in microseconds.
    pub server_cpu_micros: Option<f64>,
}

/// Percentiles of latency, in microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Latency {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90 of 100 are not above.
    pub p90: f64,
    /// 99 of 100 are not above.
    pub p99: f64,
    /// 999 of 1000 are not above.
    pub p999: f64,
    /// Largest.
    pub max: f64,
}

impl Latency {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let micros = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            mean: histogram.mean() / 1e3,
            p50: micros(0.5),
            p90: micros(0.9),
            p99: micros(0.99),
            p999: micros(0.999),
            max: histogram.max() as f64 / 1e3,
        }
    }
}

/// A time without any success.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Gap {
    /// First and last slot of the range.
    pub slots: (u16, u16),
    /// How long, in milliseconds.
    pub millis: f64,
    /// When it began, in seconds after measuring did.
    pub at_seconds: f64,
}

impl Report {
    /// Puts together what the threads measured. `last` is the last success of each range, and at
    /// its end that of all; `ranges` names the ranges.
    pub(crate) fn of(
        threads: &[Measured],
        last: &[u64],
        ranges: &[(u16, u16)],
        server_cpu: Option<u64>,
    ) -> Self {
        let mut histogram = latencies();
        let mut errors = BTreeMap::new();
        let mut gaps = vec![LongestGap::default(); last.len()];
        let (mut rate, mut cpu) = (0.0, Some(0));
        let from = threads.iter().map(|thread| thread.from).min().unwrap_or(0);
        let to = threads.iter().map(|thread| thread.to).max().unwrap_or(0);
        for thread in threads {
            histogram.add(&thread.latencies).expect("all histograms have the same bounds");
            let seconds = (thread.to.saturating_sub(thread.from)).max(1) as f64 / 1e9;
            rate += thread.latencies.len() as f64 / seconds;
            cpu = cpu.zip(thread.cpu).map(|(sum, cpu)| sum + cpu);
            for (kind, count) in &thread.errors {
                *errors.entry(kind.clone()).or_insert(0) += count;
            }
            for (sum, gap) in gaps.iter_mut().zip(&thread.gaps) {
                sum.extend(gap.from, gap.from + gap.nanos);
                sum.attempted |= gap.attempted;
            }
        }
        // What was silent at the end is a gap, too.
        gaps.iter_mut().zip(last).for_each(|(gap, &last)| gap.extend(last, to));
        let named = |(gap, &slots): (&LongestGap, &(u16, u16))| Gap {
            slots,
            millis: gap.nanos as f64 / 1e6,
            at_seconds: gap.from.saturating_sub(from) as f64 / 1e9,
        };
        let per_operation = |nanos: u64| nanos as f64 / 1e3 / histogram.len().max(1) as f64;
        let sum = |count: fn(&Measured) -> u64| threads.iter().map(count).sum();
        let asked_ranges = gaps.iter().zip(ranges).filter(|(gap, _)| gap.attempted);
        Self {
            operations: histogram.len(),
            seconds: to.saturating_sub(from) as f64 / 1e9,
            operations_per_second: rate,
            latency: Latency::of(&histogram),
            errors,
            moved: sum(|thread| thread.moved),
            asked: sum(|thread| thread.asked),
            reconnects: sum(|thread| thread.reconnects),
            unsent: sum(|thread| thread.unsent),
            longest_gap: named((&gaps[gaps.len() - 1], &(0, 16383))),
            range_gaps: asked_ranges.map(named).collect(),
            client_cpu_micros: cpu.map(per_operation),
            server_cpu_micros: server_cpu.map(per_operation),
        }
    }

    /// The number of errors of all kinds.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The report as one line of JSON. Times carry their unit in their name.
    #[must_use]
    pub fn to_json(&self) -> String {
        let gap = |gap: &Gap| {
            json!({
                "first_slot": gap.slots.0, "last_slot": gap.slots.1,
                "ms": gap.millis, "at_s": gap.at_seconds,
            })
        };
        json!({
            "ops": self.operations,
            "secs": self.seconds,
            "ops_s": self.operations_per_second,
            "mean_us": self.latency.mean,
            "p50_us": self.latency.p50,
            "p90_us": self.latency.p90,
            "p99_us": self.latency.p99,
            "p999_us": self.latency.p999,
            "max_us": self.latency.max,
            "errs": self.error_count(),
            "errors": self.errors,
            "moved": self.moved,
            "asked": self.asked,
            "reconnects": self.reconnects,
            "unsent": self.unsent,
            "gap": gap(&self.longest_gap),
            "range_gaps": self.range_gaps.iter().map(gap).collect::<Vec<_>>(),
            "cli_us_op": self.client_cpu_micros,
            "srv_us_op": self.server_cpu_micros,
        })
        .to_string()
    }
}

/// The figures that every load has, as one line of JSON with the names of [`Report::to_json`].
/// CPU times are microseconds a request, of the client and of the servers.
pub(crate) fn common_json(
    operations_per_second: f64,
    latency: &Latency,
    errors: u64,
    (client_cpu, server_cpu): (f64, f64),
) -> String {
    json!({
        "ops_s": operations_per_second,
        "p50_us": latency.p50,
        "p99_us": latency.p99,
        "max_us": latency.max,
        "errs": errors,
        "cli_us_op": client_cpu,
        "srv_us_op": server_cpu,
    })
    .to_string()
}

/// Most slot ranges that the text lists: those with the longest gaps.
const RANGES_SHOWN_MAX: usize = 10;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = &self.latency;
        writeln!(
            f,
            "throughput  {:.0} requests/s ({} in {:.2} s)",
            self.operations_per_second, self.operations, self.seconds
        )?;
        writeln!(
            f,
            "latency us  p50 {:.0}  p90 {:.0}  p99 {:.0}  p99.9 {:.0}  max {:.0}  mean {:.0}",
            latency.p50, latency.p90, latency.p99, latency.p999, latency.max, latency.mean
        )?;
        writeln!(f, "errors      {}", self.error_count())?;
        for (kind, count) in &self.errors {
            writeln!(f, "  {kind:20} {count}")?;
        }
        writeln!(
            f,
            "redirected  {} by MOVED, {} by ASK; {} reconnects",
            self.moved, self.asked, self.reconnects
        )?;
        if self.unsent > 0 {
            writeln!(f, "not sent    {} requests were due when no client was free", self.unsent)?;
        }
        let gap = &self.longest_gap;
        writeln!(f, "stall       {:.1} ms at {:.2} s", gap.millis, gap.at_seconds)?;
        let mut ranges: Vec<&Gap> = self.range_gaps.iter().collect();
        ranges.sort_by(|one, other| other.millis.total_cmp(&one.millis));
        if ranges.len() > 1 {
            for gap in ranges.iter().take(RANGES_SHOWN_MAX) {
                let (first, last) = gap.slots;
                let (millis, at) = (gap.millis, gap.at_seconds);
                writeln!(f, "  slots {first}-{last}: {millis:.1} ms at {at:.2} s")?;
            }
        }
        for (who, micros) in
            [("client", self.client_cpu_micros), ("server", self.server_cpu_micros)]
        {
            if let Some(micros) = micros {
                writeln!(f, "{who} CPU  {micros:.2} us a request")?;
            }
        }
        Ok(())
    }
}
