//! The pool's own formats, and its proofs.

mod formats;
