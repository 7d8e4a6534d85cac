//! The user's plan R001, test by test: named by their ids, in modules of the plan's own names, through
//! the real binary, its APIs and its database.

mod api {
    mod alpha_api;
    mod delta_api;
}
mod network {
    mod alpha_p2p;
    mod delta_p2p;
}
mod node {
    mod alpha_runtime;
    mod delta_runtime;
}
mod counter;
mod documented;
#[path = "../wallet/person.rs"]
#[expect(dead_code, reason = "the wallet's own tests use all of it")]
mod person;
