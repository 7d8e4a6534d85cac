//! The ways to ask a node: the REST envelope of both APIs, streamed bodies, and Delta's JSON-RPC.
//!
//! Answers are bounded in size and time; an answer that is not what was promised is an error that
//! names the URL. Callers that act on why there is none find [`Refused`] and [`Unreachable`] in the
//! error.

use std::{
    io::Read,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use adnet_common::{api::sign_request, keys::SecretKey};
use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a streamed body may pause; as a whole it takes as long as it takes.
const STREAM_READ_TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_MAX_BYTES: u64 = 16 * 1024 * 1024;
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The API said no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused: {message} ({code})")]
pub(super) struct Refused {
    /// Of the API's envelope: stable, in capitals.
    pub code: String,
    pub message: String,
}

/// Nobody answers at the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} does not answer; is the node running there? (`adnet status`)")]
pub(super) struct Unreachable(String);

/// A client of one chain's API.
pub(super) struct ApiClient {
    agent: ureq::Agent,
    url: String,
}

impl ApiClient {
    pub fn new(url: String) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(REQUEST_TIMEOUT))
            // Errors of the API are in its envelope, which says more than the status.
            .http_status_as_error(false)
            .build()
            .new_agent();
        ApiClient { agent, url }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The `data` of a GET; `None` for a 404.
    pub fn find(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let url = format!("{}{path}", self.url);
        let response = self.agent.get(&url).call();
        let mut response = response.with_context(|| self.unreachable())?;
        let not_found = response.status() == 404;
        let answer = read_json(&mut response, &url)?;
        if not_found {
            Ok(None)
        } else {
            data_of(answer).map(Some)
        }
    }

    /// The `data` of a GET.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.find(path)?
            .ok_or_else(|| anyhow!("{}{path} does not exist", self.url))
    }

    /// The body of a GET that is streamed in a format of its own, and one header of the answer.
    pub fn stream(
        &self,
        path: &str,
        header: &str,
    ) -> anyhow::Result<(impl Read + use<>, Option<String>)> {
        let url = format!("{}{path}", self.url);
        let request = self.agent.get(&url).config();
        let request = request
            .timeout_global(None)
            .timeout_connect(Some(REQUEST_TIMEOUT))
            .timeout_per_read(Some(STREAM_READ_TIMEOUT))
            .build();
        let mut response = request.call().with_context(|| self.unreachable())?;
        if !response.status().is_success() {
            data_of(read_json(&mut response, &url)?)?;
            bail!("{url} answered {}", response.status());
        }
        let header = response.headers().get(header);
        let header = header
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let body = response.into_body();
        Ok((body.into_with_config().limit(u64::MAX).reader(), header))
    }

    /// The `data` of a POST.
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        data_of(self.post_json(path, body)?)
    }

    /// The `data` of a POST that an operator signs (RFC 9421).
    pub fn post_signed(
        &self,
        path: &str,
        body: &Value,
        operator: &SecretKey,
    ) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.url);
        let body = serde_json::to_vec(body)?;
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let nonce = format!("{:016x}{:016x}", getrandom::u64()?, getrandom::u64()?);
        let fields = sign_request(operator, &url, &body, i64::try_from(now_s)?, &nonce)?;
        let mut request = self
            .agent
            .post(&url)
            .header("content-type", "application/json");
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let mut response = request
            .send(&body[..])
            .with_context(|| self.unreachable())?;
        data_of(read_json(&mut response, &url)?)
    }

    /// The result of a JSON-RPC call.
    pub fn rpc(&self, method: &str, params: Value) -> anyhow::Result<Value> {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut answer = self.post_json("/", &call)?;
        if let Some(error) = answer.get("error") {
            let message = error["message"].as_str().unwrap_or("no message");
            bail!("{method} was refused: {message} (code {})", error["code"]);
        }
        Ok(answer["result"].take())
    }

    fn post_json(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.url);
        let response = self.agent.post(&url).send_json(body);
        let mut response = response.with_context(|| self.unreachable())?;
        read_json(&mut response, &url)
    }

    fn unreachable(&self) -> Unreachable {
        Unreachable(self.url.clone())
    }
}

fn read_json(response: &mut ureq::http::Response<ureq::Body>, url: &str) -> anyhow::Result<Value> {
    let status = response.status();
    let text = response
        .body_mut()
        .with_config()
        .limit(ANSWER_MAX_BYTES)
        .read_to_vec()?;
    serde_json::from_slice(&text).with_context(|| format!("{url} answered {status} without JSON"))
}

/// Opens the envelope `{"success":true,"data":…}` / `{"success":false,"error":{…}}`.
fn data_of(mut answer: Value) -> anyhow::Result<Value> {
    match answer["success"].as_bool() {
        Some(true) => Ok(answer["data"].take()),
        Some(false) => {
            let text = |key: &str| answer["error"][key].as_str().unwrap_or("?").to_owned();
            let (code, message) = (text("code"), text("message"));
            Err(Refused { code, message }.into())
        }
        None => bail!("the answer is not one of an adnet API"),
    }
}

/// The URL of a listener; one on all addresses is reached on loopback.
pub(super) fn url_of(mut listen: SocketAddr) -> String {
    if listen.ip().is_unspecified() {
        match listen {
            SocketAddr::V4(_) => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
            SocketAddr::V6(_) => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        }
    }
    format!("http://{listen}")
}

/// A whole number in an answer.
pub(super) fn number(value: &Value, key: &str) -> anyhow::Result<u64> {
    value[key]
        .as_u64()
        .ok_or_else(|| anyhow!("the answer has no whole number `{key}`"))
}

/// A `0x` quantity of JSON-RPC.
pub(super) fn quantity(value: &Value) -> anyhow::Result<u128> {
    value
        .as_str()
        .and_then(|text| text.strip_prefix("0x"))
        .and_then(|digits| u128::from_str_radix(digits, 16).ok())
        .ok_or_else(|| anyhow!("the answer is no quantity: {value}"))
}

/// Asks again and again until there is an answer, at most for `timeout`.
pub(super) fn wait_for<T>(
    timeout: Duration,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(found) = ask()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!(
                "not in a block after {} s; it may still come",
                timeout.as_secs()
            );
        }
        thread::sleep(POLL_INTERVAL);
    }
}
