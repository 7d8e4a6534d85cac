//! The 24 words: shown once to be written down, and read back.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, BufRead, Read},
    path::Path,
};

use anyhow::{Context, bail};
use zeroize::Zeroizing;

/// More than 24 words of the list, with spaces, ever have.
const TEXT_BYTES_MAX: u64 = 1_024;
const COLUMNS: usize = 4;
/// How many of the words a person is asked for, to see that they are on paper.
const ASKED: usize = 3;

/// The words with their numbers, in rows.
pub(super) fn numbered(mnemonic: &str) -> Zeroizing<String> {
    let words: Vec<&str> = mnemonic.split_whitespace().collect();
    let rows = words.len().div_ceil(COLUMNS);
    let mut out = Zeroizing::new(String::with_capacity(TEXT_BYTES_MAX as usize));
    for row in 0..rows {
        for column in 0..COLUMNS {
            let index = column * rows + row;
            if let Some(word) = words.get(index) {
                // Writing to a String cannot fail.
                let _ = write!(out, "  {:>2} {word:<10}", index + 1);
            }
        }
        out.push('\n');
    }
    out
}

/// Asks for some of the words, so that nobody goes on who has not written them down.
pub(super) fn confirm(mnemonic: &str) -> anyhow::Result<()> {
    let words: Vec<&str> = mnemonic.split_whitespace().collect();
    eprintln!("Type some of the words, to be sure that they are on paper.");
    let mut answers = io::stdin().lock();
    for index in drawn(words.len())? {
        eprint!("Word {}: ", index + 1);
        let mut answer = Zeroizing::new(String::new());
        (&mut answers)
            .take(TEXT_BYTES_MAX)
            .read_line(&mut answer)
            .context("the words could not be read")?;
        if answer.trim() != words[index] {
            bail!(
                "this is not word {}; no wallet was made: begin anew",
                index + 1
            );
        }
    }
    Ok(())
}

/// [`ASKED`] different indices below `count`, rising.
fn drawn(count: usize) -> anyhow::Result<Vec<usize>> {
    let mut drawn: Vec<usize> = Vec::new();
    while drawn.len() < ASKED.min(count) {
        let mut byte = [0u8; 1];
        getrandom::fill(&mut byte)
            .map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
        let index = usize::from(byte[0]) % count;
        if !drawn.contains(&index) {
            drawn.push(index);
        }
    }
    drawn.sort_unstable();
    Ok(drawn)
}

/// Words from a file, or else from the terminal without echo, or else from standard input.
pub(super) fn read(file: Option<&Path>, is_interactive: bool) -> anyhow::Result<Zeroizing<String>> {
    match file {
        Some(path) => File::open(path)
            .and_then(read_all)
            .with_context(|| path.display().to_string()),
        None if is_interactive => {
            eprintln!("Type the 24 words in one line; they are not shown.");
            let line = rpassword::prompt_password("Words: ");
            Ok(Zeroizing::new(line.context("the words could not be read")?))
        }
        None => read_all(io::stdin()).context("standard input"),
    }
}

fn read_all(from: impl Read) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES_MAX as usize + 1));
    from.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text)?;
    match text.len() as u64 > TEXT_BYTES_MAX {
        true => Err(io::Error::other("it has more than 24 words")),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_numbered_down_the_columns() {
        let words: Vec<String> = (1..=24).map(|n| format!("w{n}")).collect();
        let text = numbered(&words.join(" "));
        let first = text.lines().next().expect("rows");
        assert_eq!(
            first.split_whitespace().collect::<Vec<_>>(),
            ["1", "w1", "7", "w7", "13", "w13", "19", "w19"]
        );
        assert_eq!(text.lines().count(), 6);
    }

    #[test]
    fn the_words_that_are_asked_for_differ() {
        for _ in 0..50 {
            let drawn = drawn(24).expect("random");
            assert!(
                drawn.len() == ASKED && drawn.is_sorted_by(|a, b| a < b),
                "{drawn:?}"
            );
            assert!(drawn.iter().all(|index| *index < 24));
        }
    }

    #[test]
    fn too_much_text_is_no_mnemonic() {
        assert!(read_all("word ".repeat(300).as_bytes()).is_err());
        assert_eq!(read_all(&b"a b\n"[..]).expect("read").as_str(), "a b\n");
    }
}
