//! The bar that a person sees while the wallet scans, on standard error and only where that is a
//! terminal.

use std::time::Duration;

use adnet_alpha::compact::CompactBlock;
use indicatif::{ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(100);

/// Blocks that are scanned.
pub(super) struct ScanBar {
    bar: ProgressBar,
    actions: u64,
}

impl ScanBar {
    pub fn new(blocks: u64) -> Self {
        let style = "Scanning {bar:30} {human_pos}/{human_len} blocks, {msg} actions, {eta} left";
        let style = ProgressStyle::with_template(style).expect("a constant template");
        let bar = ProgressBar::new(blocks).with_style(style);
        bar.set_message("0");
        bar.enable_steady_tick(TICK);
        ScanBar { bar, actions: 0 }
    }

    pub fn add(&mut self, blocks: &[CompactBlock]) {
        let actions = blocks.iter().map(CompactBlock::commitments);
        self.actions = actions.fold(self.actions, u64::saturating_add);
        self.bar.inc(blocks.len() as u64);
        self.bar.set_message(self.actions.to_string());
    }

    /// The node may have more of them than at the beginning.
    pub fn set_blocks(&self, blocks: u64) {
        self.bar.set_length(blocks);
    }
}

impl Drop for ScanBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
