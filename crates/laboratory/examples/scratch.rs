//! scratch
use laboratory::*;
use std::time::Duration;
fn main() {
    for util in [0.5, 0.7] {
        let mut a = vec![]; let mut b = vec![];
        let mut moves = 0;
        for seed in 1..=32 {
            let mut s = Scenario::one_shift(seed);
            s.workload.utilisation = util;
            let r = run(&s, PolicyKind::reactive(Duration::from_secs(1))).unwrap();
            let x = r.recoveries[0];
            a.push(x.within_125.unwrap_or(999)); b.push(x.within_110.unwrap_or(999));
            moves += r.moves_between(120, 240);
        }
        a.sort(); b.sort();
        println!("util {util}: 1.25 {a:?}\n          1.10 {b:?} moves/shift {}", moves as u64 / 32);
    }
    for (sigma, util) in [(0.15, 0.7), (0.3, 0.7), (0.3, 0.5)] {
        for alpha in [0.99, 1.2] {
            let mut s = Scenario::new("steady", alpha).lasting(3900);
            s.workload.noise = sigma; s.workload.utilisation = util;
            let r = run(&s, PolicyKind::reactive(Duration::from_secs(1))).unwrap();
            println!("noise {sigma} util {util} alpha {alpha}: moves in the hour {} flips {} excess {:.2} {:?}", r.moves_between(300, 3900), r.totals.flips, r.rows.last().unwrap().excess(), r.reasons);
        }
    }
}
