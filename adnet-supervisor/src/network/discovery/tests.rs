//! Nodes that know one other node find all.

use std::time::Instant;

use super::{super::reputation::Reputation, *};

const GENESIS: [u8; 32] = [9; 32];
const PATIENCE: Duration = Duration::from_secs(40);

struct Node {
    discovery: Arc<Discovery>,
    book: Arc<AddressBook>,
}

impl Node {
    /// Node `n` at 127.0.`n`.1, where `n` is at least 1.
    async fn start(n: u8, genesis: [u8; 32], is_private: bool, boot: Vec<String>) -> Node {
        let book = AddressBook::open(None, is_private, &Reputation::default(), unix_ms());
        let book = Arc::new(book.unwrap());
        let config = DiscoveryConfig {
            socket: UdpSocket::bind((format!("127.0.{n}.1"), 0)).unwrap(),
            external_ip: None,
            boot_nodes: boot,
        };
        let identity = Identity::from_seed([n; 32]);
        let about = About {
            identity: &identity,
            genesis,
            ports: &BTreeMap::from([(ChainId::Alpha, 1000 + u16::from(n))]),
            is_private,
        };
        let discovery = Discovery::start(config, about, &book).await.unwrap();
        let node = Node {
            discovery: Arc::new(discovery),
            book,
        };
        let metrics = crate::network::metrics::Metrics::register(&prometheus::Registry::new());
        let walk = node.discovery.clone();
        tokio::spawn(walk.walk(node.book.clone(), metrics.unwrap().shared()));
        node
    }

    fn knows(&self) -> usize {
        self.book.lock().entries().count()
    }
}

async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn all_find_all(is_private: bool) {
    const NODES: u8 = 8;
    let boot = Node::start(1, GENESIS, is_private, Vec::new()).await;
    let record = boot.discovery.record();
    let mut nodes = vec![boot];
    for n in 2..=NODES {
        nodes.push(Node::start(n, GENESIS, is_private, vec![record.clone()]).await);
    }
    let others = usize::from(NODES) - 1;
    wait_for("all know all", || {
        nodes.iter().all(|node| node.knows() == others)
    })
    .await;
    for node in &nodes {
        let book = node.book.lock();
        for entry in book.entries() {
            assert!(
                entry
                    .node
                    .alpha_port
                    .is_some_and(|port| port > 1000 && port <= 1000 + 8)
            );
            assert_eq!(entry.node.delta_port, None);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_with_one_boot_node_find_each_other() {
    all_find_all(true).await;
}

/// Each in a subnet of its own, as the limits by address want it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_they_do_with_packet_filter_and_limits_by_address() {
    all_find_all(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_genesis_enters_no_book() {
    let boot = Node::start(1, GENESIS, true, Vec::new()).await;
    let stranger = Node::start(2, [8; 32], true, Vec::new()).await;
    let honest = Node::start(3, GENESIS, true, vec![boot.discovery.record()]).await;
    // Its own list of boot nodes would refuse this one.
    let enr: Enr = boot.discovery.record().parse().unwrap();
    stranger.discovery.discv5.add_enr(enr).unwrap();
    stranger.discovery.want();
    let id = stranger.discovery.discv5.local_enr().node_id();
    wait_for("the boot node has met the stranger", || {
        boot.discovery.want();
        boot.discovery.discv5.table_entries_id().contains(&id)
    })
    .await;
    wait_for("the honest one has met it, too", || {
        honest.discovery.want();
        honest.discovery.discv5.table_entries_id().contains(&id)
    })
    .await;
    assert!(honest.knows() >= 1);
    for node in [&boot, &honest] {
        let book = node.book.lock();
        let strangers = Identity::from_seed([2; 32]).id();
        assert!(book.get(&strangers).is_none(), "it cannot be dialled");
    }
    // And the stranger dials none of ours.
    assert_eq!(stranger.knows(), 0);
}

#[tokio::test]
async fn a_boot_node_of_another_network_is_refused_by_name() {
    let boot = Node::start(1, [8; 32], true, Vec::new()).await;
    let record = boot.discovery.record();
    let refused = |record: &str| {
        let read = check_boot_node(record, &GENESIS);
        read.err().map(|error| error.to_string())
    };
    let said = refused(&record).expect("refused");
    assert!(
        said.contains(&record) && said.contains("genesis differs"),
        "{said}"
    );
    assert!(refused("enr:-xyz").is_some_and(|said| said.contains("no node record")));
    let ours = Node::start(2, GENESIS, true, Vec::new()).await;
    assert_eq!(refused(&ours.discovery.record()), None);
}
