//! Prints the one table with which `make bench` ends: area, figure, goal, measured, peer.

use adnet_benches::report::{directory, rows, table};

fn main() {
    let rows = rows();
    if rows.is_empty() {
        eprintln!(
            "no results in {}: run the benchmarks first",
            directory().display()
        );
        std::process::exit(1);
    }
    let mut lines = vec![
        ["area", "figure", "goal", "measured", "peer"]
            .map(str::to_owned)
            .to_vec(),
    ];
    lines.extend(
        rows.into_iter()
            .map(|row| vec![row.area, row.figure, row.goal, row.measured, row.peer]),
    );
    print!("{}", table(&lines));
}
