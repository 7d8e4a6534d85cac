//! Networks of real validators on one machine: what any of them is given is final on all, blocks are
//! the same everywhere, and a network goes on while more than two thirds of the power do.

mod discovery;
mod flood;
mod joining;
mod line;
mod sentries;
mod snapshot;
mod testnet;

use std::{
    thread,
    time::{Duration, Instant},
};

use adnet_common::chain_id::ChainId;
use adnet_tests::cluster::agreement::{self, assert_same_blocks, await_growth, height};
use adnet_tests::harness::{Options, Signal, TestNode, eventually, workers_of};
use adnet_tests::sim::Random;
use serde_json::Value;

fn options() -> Options {
    Options {
        alpha_interval_ms: 500,
        delta_interval_ms: 250,
        ..Options::default()
    }
}

#[test]
fn what_one_of_four_is_given_is_final_on_all() {
    let nodes = TestNode::network(4, &options());
    let sent: Vec<_> = nodes
        .iter()
        .enumerate()
        .map(|(i, node)| {
            // Each at another node. The fourth follows the first, of which its node may have heard
            // or not: nonces count from 0 here.
            let user = node.alpha_user(i % 3);
            let to = node.alpha_user((i + 1) % 3).address();
            let tx = user.transfer((i / 3) as u64, to, 1 + i as u64);
            user.send(&tx).expect("accepted");
            tx
        })
        .collect();
    for tx in &sent {
        let heights: Vec<u64> = nodes
            .iter()
            .map(|node| {
                let user = node.alpha_user(0);
                eventually("it is final here", || user.final_at(&tx.id()))
            })
            .collect();
        assert!(heights.iter().all(|h| *h == heights[0]), "{heights:?}");
    }
    for chain in ChainId::ALL {
        for node in &nodes {
            let peers = eventually("the API lists the peers", || {
                let peers = node.api(chain).get("/v1/peers").ok()?;
                (peers.as_array()?.len() == 3).then_some(peers)
            });
            let of_chain = |peer: &Value| peer["chain"] == chain.name() && peer["score"] == 0;
            assert!(
                peers.as_array().expect("seen above").iter().all(of_chain),
                "{peers}"
            );
        }
    }
    let minted_to = nodes[3].delta_user(1);
    let before = minted_to.balance_wei();
    let locker = nodes[0].alpha_user(1);
    let lock = locker.lock(locker.next_nonce(), minted_to.evm_address(), 777);
    locker.send(&lock).expect("accepted");
    for node in &nodes {
        let user = node.delta_user(1);
        eventually("the lock is minted here", || {
            (user.balance_wei() > before).then_some(())
        });
    }
    assert_same_blocks(&nodes.iter().collect::<Vec<_>>());
}

#[test]
fn three_of_four_go_on_and_the_fourth_catches_up() {
    let mut nodes = TestNode::network(4, &options());
    await_growth(&nodes.iter().collect::<Vec<_>>(), 3);
    let mut lost = nodes.pop().expect("four");
    lost.kill();
    let living: Vec<&TestNode> = nodes.iter().collect();
    await_growth(&living, 8);
    let there = ChainId::ALL.map(|chain| (chain, height(living[0], chain)));
    lost.restart();
    for (chain, there) in there {
        eventually("it has what it missed", || {
            (height(&lost, chain) >= there).then_some(())
        });
    }
    let all: Vec<&TestNode> = nodes.iter().chain([&lost]).collect();
    await_growth(&all, 3);
    assert_same_blocks(&all);
}

#[test]
fn half_of_the_power_decides_nothing_and_goes_on_when_it_is_whole() {
    let mut nodes = TestNode::network(4, &options());
    await_growth(&nodes.iter().collect::<Vec<_>>(), 3);
    let second = nodes.split_off(2);
    // All processes of a node, or its supervisor would take its workers for hanging.
    let processes: Vec<_> = second
        .iter()
        .flat_map(|node| {
            let supervisor = node.supervisor();
            [supervisor].into_iter().chain(workers_of(supervisor.pid))
        })
        .collect();
    for process in &processes {
        process.signal(Signal::SIGSTOP);
    }
    let first: Vec<&TestNode> = nodes.iter().collect();
    let stands = agreement::await_standstill(&first, Duration::from_secs(2));
    let alarm = |node: &TestNode, value: &str| {
        let (_, page) = node.metrics().text("/metrics").ok()?;
        let of_chain = |line: &str| {
            let is_alarm = line.starts_with("adnet_chain_stalled{");
            is_alarm.then(|| line.ends_with(value))
        };
        let told: Vec<bool> = page.lines().filter_map(of_chain).collect();
        (told == [true, true]).then_some(())
    };
    for node in &first {
        eventually("the alarm of both chains is raised", || alarm(node, " 1"));
        eventually("the log has it", || {
            (node.logged("chain_stalled").len() == 2).then_some(())
        });
    }
    for process in processes.iter().rev() {
        process.signal(Signal::SIGCONT);
    }
    let healed = Instant::now();
    for (chain, stood) in stands {
        let bound = match chain {
            ChainId::Alpha => Duration::from_secs(20),
            ChainId::Delta => Duration::from_secs(10),
        };
        eventually("it decides again", || {
            (height(first[0], chain) > stood).then_some(())
        });
        assert!(healed.elapsed() < bound, "{chain}: {:?}", healed.elapsed());
    }
    let all: Vec<&TestNode> = nodes.iter().chain(&second).collect();
    await_growth(&all, 3);
    for node in &all {
        eventually("the alarm is over", || alarm(node, " 0"));
    }
    assert_same_blocks(&all);
}

/// `ADNET_NETWORK_KILLS` makes it a long one, and `ADNET_NETWORK_SEED` repeats one.
#[test]
fn deaths_all_over_the_network_fork_nothing() {
    let setting = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let seed = setting("ADNET_NETWORK_SEED").unwrap_or(u64::from(std::process::id()));
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut nodes = TestNode::network(4, &options());
    for _ in 0..setting("ADNET_NETWORK_KILLS").unwrap_or(9) {
        let victim = usize::try_from(random.below(4)).expect("below four");
        let others: Vec<&TestNode> = (0..4).filter(|i| *i != victim).map(|i| &nodes[i]).collect();
        let pause = Duration::from_millis(random.below(500));
        await_growth(&others, 1);
        thread::sleep(pause); // any instant within a block
        let chain = match random.below(3) {
            0 => Some("alpha"),
            1 => Some("delta"),
            _ => None,
        };
        match chain {
            Some(chain) => nodes[victim].worker(chain).signal(Signal::SIGKILL),
            None => {
                nodes[victim].kill();
                let others: Vec<&TestNode> =
                    (0..4).filter(|i| *i != victim).map(|i| &nodes[i]).collect();
                await_growth(&others, 2);
                nodes[victim].restart();
            }
        }
    }
    let all: Vec<&TestNode> = nodes.iter().collect();
    await_growth(&all, 3);
    assert_same_blocks(&all);
}
