//! Results of a run, gathered from all benchmarks into one table.
//!
//! Each benchmark appends its figures with [`row`] to `adnet-bench/rows.jsonl` in the target
//! directory. The binary `bench-table` prints the last value of each figure.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Part of the system, `ring` for instance.
    pub area: String,
    /// What was measured, with its conditions.
    pub figure: String,
    /// What it should be; empty if the figure is only for orientation.
    pub goal: String,
    /// What it is, with its unit.
    pub measured: String,
    /// What a peer reached in the same run; empty if there is none.
    pub peer: String,
}

/// Directory for results, within the target directory of the running binary.
pub fn directory() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || {
            // target/release/deps/name-hash for a benchmark, target/release/name for a binary.
            let exe = std::env::current_exe().expect("Linux knows the path of a running binary");
            exe.ancestors()
                .find(|directory| directory.join("CACHEDIR.TAG").exists())
                .map_or_else(|| PathBuf::from("target"), PathBuf::from)
        },
        PathBuf::from,
    );
    target.join("adnet-bench")
}

/// Appends one figure.
///
/// # Panics
/// If the target directory cannot be written: a benchmark whose result is lost is of no use.
pub fn row(area: &str, figure: &str, goal: &str, measured: &str, peer: &str) {
    let row = Row {
        area: area.to_owned(),
        figure: figure.to_owned(),
        goal: goal.to_owned(),
        measured: measured.to_owned(),
        peer: peer.to_owned(),
    };
    fs::create_dir_all(directory()).expect("the target directory can be written");
    let mut line = serde_json::to_string(&row).expect("strings always serialise");
    line.push('\n');
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory().join("rows.jsonl"))
        // One write call: two benchmarks at once do not mix their lines.
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .expect("the target directory can be written");
}

/// The last value of each figure, grouped by area in the order of their first appearance.
pub fn rows() -> Vec<Row> {
    let text = fs::read_to_string(directory().join("rows.jsonl")).unwrap_or_default();
    // A line of an older format is no result of this build.
    let all: Vec<Row> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let mut last: Vec<Row> = Vec::new();
    for row in all {
        match last
            .iter_mut()
            .find(|known| known.area == row.area && known.figure == row.figure)
        {
            Some(known) => *known = row,
            None => last.push(row),
        }
    }
    let mut areas: Vec<String> = Vec::new();
    for row in &last {
        if !areas.contains(&row.area) {
            areas.push(row.area.clone());
        }
    }
    last.sort_by_key(|row| areas.iter().position(|area| *area == row.area));
    last
}

/// A table with aligned columns, the first line being the heading.
pub fn table(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width_of = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width_of).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        let cells: Vec<String> = (0..columns)
            .map(|column| {
                let cell = line.get(column).map_or("", String::as_str);
                format!("{cell:<width$}", width = widths[column])
            })
            .collect();
        text += &format!("| {} |\n", cells.join(" | "));
        if number == 0 {
            let rules: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
            text += &format!("|-{}-|\n", rules.join("-|-"));
        }
    }
    text
}
