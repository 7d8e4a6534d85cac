//! A client of the node's HTTP interfaces that opens a connection per request, so that a refused
//! connection cannot hide behind a kept one.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::outage::Outages;

const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The API said no, by a code of its envelope or of JSON-RPC.
    Refused {
        status: u16,
        code: String,
        message: String,
    },
    /// Nobody listens.
    ConnectionRefused,
    /// The connection broke or the answer did not come; the request may have had its effect.
    Broken(String),
}

impl Failure {
    /// The API's code, or nothing where there was no answer.
    pub fn code(&self) -> &str {
        match self {
            Failure::Refused { code, .. } => code,
            _ => "",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self:?}")
    }
}

type Answered = Result<ureq::http::Response<ureq::Body>, ureq::Error>;

/// One listening address of a node.
#[derive(Clone, Debug)]
pub struct Api {
    agent: ureq::Agent,
    pub address: SocketAddr,
    outages: Arc<Outages>,
}

impl Api {
    /// A client whose failures are counted in `outages`.
    pub fn new(address: SocketAddr, outages: Arc<Outages>) -> Self {
        Self {
            agent: agent(0, TIMEOUT),
            address,
            outages,
        }
    }

    /// The same for whoever asks hundreds of times a second: it keeps its connection.
    pub fn keeping_its_connection(&self) -> Self {
        Self {
            agent: agent(1, TIMEOUT),
            ..self.clone()
        }
    }

    /// The same for whoever cannot wait for a node that does not answer.
    pub fn within(&self, patience: Duration) -> Self {
        Self {
            agent: agent(0, patience),
            ..self.clone()
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn ask(&self, call: impl FnOnce(&ureq::Agent) -> Answered) -> Result<(u16, String), Failure> {
        let begun = self.outages.epoch();
        let answer = read(call(&self.agent));
        answer.inspect_err(|failure| self.outages.note(begun, failure))
    }

    /// Status and body of a GET.
    pub fn text(&self, path: &str) -> Result<(u16, String), Failure> {
        self.ask(|agent| agent.get(self.url(path)).call())
    }

    /// The `data` of a GET.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        opened(self.text(path)?)
    }

    /// The `data` of a POST.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        opened(self.ask(|agent| agent.post(self.url(path)).send_json(body))?)
    }

    /// The result of a JSON-RPC call.
    pub fn rpc(&self, method: &str, params: Value) -> Result<Value, Failure> {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let (status, text) = self.ask(|agent| agent.post(self.url("/")).send_json(&call))?;
        let mut answer = parsed(&text)?;
        match answer.get("error") {
            Some(error) => Err(Failure::Refused {
                status,
                code: error["code"].to_string(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
            }),
            None => Ok(answer["result"].take()),
        }
    }

    /// The committed height of the chain behind this API.
    pub fn height(&self) -> Result<u64, Failure> {
        let status = self.get("/v1/status")?;
        Ok(status["height"].as_u64().expect("a status has a height"))
    }
}

fn agent(idle_connections: usize, timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_idle_connections(idle_connections)
        .http_status_as_error(false)
        .build()
        .new_agent()
}

fn read(answered: Answered) -> Result<(u16, String), Failure> {
    let mut response = answered.map_err(broken)?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    let text = body.read_to_string().map_err(broken)?;
    Ok((status, text))
}

fn broken(error: ureq::Error) -> Failure {
    match &error {
        ureq::Error::Io(io) if io.kind() == io::ErrorKind::ConnectionRefused => {
            Failure::ConnectionRefused
        }
        ureq::Error::ConnectionFailed => Failure::ConnectionRefused,
        _ => Failure::Broken(error.to_string()),
    }
}

fn parsed(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::Broken(format!("{error}: {text}")))
}

/// Opens `{"success":true,"data":…}`.
fn opened((status, text): (u16, String)) -> Result<Value, Failure> {
    let mut answer = parsed(&text)?;
    if answer["success"] == true {
        return Ok(answer["data"].take());
    }
    let part = |key: &str| answer["error"][key].as_str().unwrap_or_default().to_owned();
    Err(Failure::Refused {
        status,
        code: part("code"),
        message: part("message"),
    })
}
