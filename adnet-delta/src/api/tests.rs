//! The routes and their document agree.

use super::*;

#[test]
fn every_route_is_documented_and_the_other_way_round() {
    assert_eq!(routes().undocumented(OPENAPI), Vec::<String>::new());
}
