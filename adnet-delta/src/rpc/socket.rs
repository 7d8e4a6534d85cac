//! JSON-RPC over WebSocket: requests, batches, and subscriptions.
//!
//! A connection executes a few requests at a time and reads no further meanwhile. What it has subscribed
//! to comes from a ring that all share (`feed`); a reader that falls out of the ring, or takes too long for
//! one block, is closed by name.

use super::dispatch::{self, BatchAnswers, Methods};
use super::feed::{Feed, NewBlock, NewPending, Reader};
use super::subscriptions::{Subscriptions, Topic};
use super::{Arguments, RpcError};
use crate::DeltaApp;
use adnet_common::api::{Client, Close, Gone, Heard, Room, Socket, Untold};
use adnet_common::worker::ChainHandle;
use alloy_primitives::{B256, U64};
use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Requests of one connection that are executed at a time, with those whose answers wait to be sent:
/// an answer may be large.
const AT_A_TIME: usize = 4;

/// What all connections have in common. Cheap to clone.
#[derive(Clone)]
pub struct Shared {
    pub chain: ChainHandle<DeltaApp>,
    pub methods: Methods,
    pub feed: Feed,
    pub subscriptions_max: u64,
}

/// Serves one connection until it ends.
pub async fn serve(shared: Shared, client: Client, socket: Socket) {
    let connection = Connection {
        subscriptions: Subscriptions::new(shared.subscriptions_max),
        shared,
        client,
        socket,
        blocks: Reader::default(),
        pending: Reader::default(),
        answers: JoinSet::new(),
    };
    connection.run().await;
}

struct Connection {
    shared: Shared,
    client: Client,
    socket: Socket,
    subscriptions: Subscriptions,
    blocks: Reader<NewBlock>,
    pending: Reader<NewPending>,
    answers: JoinSet<Option<Answer>>,
}

/// An answer that waits to be sent, with the room that it takes until it was.
struct Answer {
    text: String,
    _room: Room,
}

/// How a connection ends.
enum End {
    Gone,
    Told(Close),
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        End::Gone
    }
}

impl From<Untold> for End {
    fn from(untold: Untold) -> Self {
        match untold {
            Untold::Gone => End::Gone,
            Untold::Late(close) => End::Told(close),
        }
    }
}

impl Connection {
    async fn run(mut self) {
        let end = loop {
            if let Err(end) = self.turn().await {
                break end;
            }
        };
        if let End::Told(close) = end {
            tracing::debug!(code = close.code, reason = %close.reason, "a WebSocket is closed");
            self.socket.close(close).await;
        }
    }

    async fn turn(&mut self) -> Result<(), End> {
        tokio::select! {
            heard = self.socket.hear(), if self.answers.len() < AT_A_TIME => match heard {
                Heard::Text(text) => self.request(text.as_str()).await,
                Heard::End(close) => Err(End::Told(close)),
                Heard::Gone => Err(End::Gone),
            },
            Some(answer) = self.answers.join_next() => match answer {
                // The room is given back after the client has taken the answer.
                Ok(Some(Answer { text, _room })) => Ok(self.socket.say(text).await?),
                Ok(None) => Ok(()),
                Err(error) => {
                    tracing::error!(%error, "a method of the JSON-RPC API failed");
                    Ok(())
                }
            },
            block = self.blocks.next() => {
                let block = block.map_err(End::Told)?;
                let messages = self.subscriptions.of_block(&block);
                Ok(self.socket.tell(messages).await?)
            }
            arrived = self.pending.next() => {
                let arrived = arrived.map_err(End::Told)?;
                self.tell_pending(&arrived).await
            }
        }
    }

    async fn tell_pending(&mut self, arrived: &NewPending) -> Result<(), End> {
        let whole = if self.subscriptions.wants_whole_pending() {
            arrived.whole(&self.shared.chain).await
        } else {
            None
        };
        let subscriptions = &self.subscriptions;
        let each = arrived.ids.iter().enumerate();
        let messages = each.flat_map(|(index, id)| {
            let object = whole.and_then(|whole| whole[index].1.as_ref());
            subscriptions.of_pending(B256::new(id.0), object)
        });
        Ok(self.socket.tell(messages).await?)
    }

    /// Subscribing is answered here and at once, so that nothing is told before its answer; the rest
    /// is executed beside what else comes.
    async fn request(&mut self, text: &str) -> Result<(), End> {
        if dispatch::is_batch(text) {
            return self.batch(text).await;
        }
        if let Some(answer) = self.subscribing(text).await {
            return Ok(self.socket.say(answer).await?);
        }
        self.execute(text.to_owned());
        Ok(())
    }

    fn execute(&mut self, text: String) {
        let (methods, client) = (Arc::clone(&self.shared.methods), self.client);
        let mut room = self.socket.room();
        self.answers.spawn(async move {
            let answer = dispatch::answer_text(&methods, client, &text).await?;
            let text = match room.hold(answer.len()) {
                Ok(()) => answer,
                Err(busy) => dispatch::refusal(&text, busy.into())?,
            };
            Some(Answer { text, _room: room })
        });
    }

    /// Batches without subscriptions are like any request. In others each request is answered in turn, and
    /// refused alone if there is no room for its answer: who has subscribed must learn of what.
    async fn batch(&mut self, text: &str) -> Result<(), End> {
        let requests = match dispatch::batch(text) {
            Ok(requests) => requests,
            Err(refusal) => return Ok(self.socket.say(refusal).await?),
        };
        if !requests.iter().any(|request| is_subscribing(request.get())) {
            self.execute(text.to_owned());
            return Ok(());
        }
        let mut answers = BatchAnswers::default();
        let mut room = self.socket.room();
        for request in &requests {
            if answers.are_full() {
                answers.refuse(request.get());
                continue;
            }
            if let Some(answer) = self.subscribing(request.get()).await {
                answers.add(Some(answer));
                continue;
            }
            let answer = dispatch::one(&self.shared.methods, self.client, request.get()).await;
            answers.add_within(&mut room, request.get(), answer);
        }
        match answers.text() {
            Some(text) => Ok(self.socket.say(text).await?),
            None => Ok(()),
        }
    }

    /// The answer, if the request is about subscriptions.
    async fn subscribing(&mut self, text: &str) -> Option<String> {
        let request = subscription_request(text)?;
        let params = Params::new(request.params.map(RawValue::get));
        let result = match request.method {
            SUBSCRIBE => self.subscribe(&params).await,
            _ => self.unsubscribe(&params),
        };
        let answer = match result {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": request.id, "result": result }),
            Err(error) => {
                let error = ErrorObjectOwned::from(error);
                json!({ "jsonrpc": "2.0", "id": request.id, "error": error })
            }
        };
        Some(answer.to_string())
    }

    async fn subscribe(&mut self, params: &Params<'_>) -> Result<Value, RpcError> {
        let id = self.subscriptions.add(Topic::parse(params)?)?;
        if !self.blocks.has_place() && self.subscriptions.wants_blocks() {
            self.blocks = self.shared.feed.blocks();
        }
        if !self.pending.has_place() && self.subscriptions.wants_pending() {
            let Some(pending) = self.shared.feed.pending().await else {
                self.subscriptions.remove(id);
                let busy = "the node is busy: send it again in a moment";
                return Err(RpcError::limit(busy));
            };
            self.pending = pending;
        }
        Ok(json!(U64::from(id)))
    }

    fn unsubscribe(&mut self, params: &Params<'_>) -> Result<Value, RpcError> {
        let id: U64 = Arguments::of(params).required()?;
        let removed = self.subscriptions.remove(id.to());
        if !self.subscriptions.wants_blocks() {
            self.blocks = Reader::default();
        }
        if !self.subscriptions.wants_pending() {
            self.pending = Reader::default();
        }
        Ok(json!(removed))
    }
}

const SUBSCRIBE: &str = "eth_subscribe";
const UNSUBSCRIBE: &str = "eth_unsubscribe";

#[derive(Deserialize)]
struct SubscriptionRequest<'a> {
    id: Value,
    #[serde(borrow)]
    method: &'a str,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

/// Parses only what may be one: most requests are none.
fn subscription_request(text: &str) -> Option<SubscriptionRequest<'_>> {
    if !text.contains(SUBSCRIBE) && !text.contains(UNSUBSCRIBE) {
        return None;
    }
    let request: SubscriptionRequest<'_> = serde_json::from_str(text).ok()?;
    [SUBSCRIBE, UNSUBSCRIBE]
        .contains(&request.method)
        .then_some(request)
}

fn is_subscribing(text: &str) -> bool {
    subscription_request(text).is_some()
}
