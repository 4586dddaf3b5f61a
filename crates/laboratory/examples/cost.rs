//! What the manager itself costs: 12 nodes and 1024 shards, reports and one round each second.

use std::time::{Duration, Instant};

use laboratory::{PolicyKind, Scenario, run};

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn main() {
    let mut scenario = Scenario::skewed(1.2).lasting(300);
    (scenario.nodes, scenario.shards) = (12, 1024);
    let mut took = [PolicyKind::Static, PolicyKind::reactive(Duration::from_secs(1))].map(|kind| {
        let begin = Instant::now();
        run(&scenario, kind).expect("the defaults are valid");
        begin.elapsed()
    });
    took[1] = took[1].saturating_sub(took[0]);
    let part = took[1].as_secs_f64() / 300.0 * 100.0;
    println!("{took:?}: the manager took {part:.2} % of one core");
}
