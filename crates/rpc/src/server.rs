//! The control plane's end: the calls as a trait, served as a router.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nkudo_pki::Peer;
use nkudo_spans::Traceparent;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::MESSAGE_MAX_BYTES;
use crate::convert::Heard;
use crate::error::RpcError;
use crate::generated as wire;
use crate::generated::agent_service_server::{AgentService, AgentServiceServer};
use crate::message::{
    Enrol, Enrolled, Facts, FromAgent, Heartbeat, HeartbeatAnswer, NewCertificate, ToAgent,
};
use crate::trace_context::TRACEPARENT;

/// How long a call may take, from its head to its answer.
const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// Who calls. Whoever accepts the connection puts it into the request's extensions.
#[derive(Debug, Clone)]
pub struct Caller {
    pub remote: SocketAddr,
    /// From the client's certificate, when it sent one; the chain has been verified.
    pub peer: Option<Peer>,
    /// The span that makes this call, where it says one. A connection has none.
    pub traceparent: Option<Traceparent>,
}

/// What an agent says on its link; an error is its end.
pub type FromAgentStream = Pin<Box<dyn Stream<Item = Result<Heard<FromAgent>, RpcError>> + Send>>;
/// What is said to an agent on its link.
pub type ToAgentStream = Pin<Box<dyn Stream<Item = Result<ToAgent, RpcError>> + Send>>;

/// What a control plane answers. Each call but `enrol` has to check the caller.
#[async_trait]
pub trait AgentCalls: Send + Sync + 'static {
    async fn enrol(&self, caller: Caller, enrol: Enrol) -> Result<Enrolled, RpcError>;
    async fn renew(&self, caller: Caller, csr_pem: String) -> Result<NewCertificate, RpcError>;
    async fn unenrol(&self, caller: Caller) -> Result<(), RpcError>;
    async fn heartbeat(&self, caller: Caller, heartbeat: Heartbeat) -> Result<HeartbeatAnswer, RpcError>;
    async fn link(&self, caller: Caller, messages: FromAgentStream) -> Result<ToAgentStream, RpcError>;
}

/// Serves the calls under `/nkudo.agent.v1.AgentService/`.
pub fn router(calls: Arc<dyn AgentCalls>) -> axum::Router {
    let service = AgentServiceServer::new(Adapter(calls))
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(MESSAGE_MAX_BYTES);
    tonic::service::Routes::new(service).into_axum_router().layer(axum::middleware::from_fn(within))
}

/// Answers a call within its deadline, the wait for its message included. A link has deadlines of its own.
async fn within(request: axum::extract::Request, next: axum::middleware::Next) -> axum::response::Response {
    if request.uri().path().ends_with("/Link") {
        return next.run(request).await;
    }
    tokio::time::timeout(CALL_DEADLINE, next.run(request)).await.unwrap_or_else(|_| {
        let sentence = format!("the call took longer than {} s", CALL_DEADLINE.as_secs());
        Status::deadline_exceeded(sentence).into_http()
    })
}

struct Adapter(Arc<dyn AgentCalls>);

fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    let mut caller = caller.ok_or_else(|| Status::internal("the connection says nothing of its caller"))?;
    // One that cannot be read is as good as none: the call begins a trace of its own.
    let told = request.metadata().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    caller.traceparent = told.and_then(|text| text.parse().ok());
    Ok(caller)
}

#[async_trait]
impl AgentService for Adapter {
    type LinkStream = Pin<Box<dyn Stream<Item = Result<wire::ServerMessage, Status>> + Send>>;

    async fn enroll(
        &self,
        request: Request<wire::EnrollRequest>,
    ) -> Result<Response<wire::EnrollResponse>, Status> {
        let caller = caller(&request)?;
        let wire::EnrollRequest { token, csr_pem, facts } = request.into_inner();
        let enrol = Enrol { token, csr_pem, facts: facts.map(Facts::from).unwrap_or_default() };
        let enrolled = self.0.enrol(caller, enrol).await.map_err(RpcError::into_status)?;
        Ok(Response::new(enrolled.into()))
    }

    async fn renew(
        &self,
        request: Request<wire::RenewRequest>,
    ) -> Result<Response<wire::RenewResponse>, Status> {
        let caller = caller(&request)?;
        let wire::RenewRequest { csr_pem } = request.into_inner();
        let certificate = self.0.renew(caller, csr_pem).await.map_err(RpcError::into_status)?;
        Ok(Response::new(certificate.into()))
    }

    async fn unenroll(
        &self,
        request: Request<wire::UnenrollRequest>,
    ) -> Result<Response<wire::UnenrollResponse>, Status> {
        let caller = caller(&request)?;
        self.0.unenrol(caller).await.map_err(RpcError::into_status)?;
        Ok(Response::new(wire::UnenrollResponse {}))
    }

    async fn heartbeat(
        &self,
        request: Request<wire::HeartbeatRequest>,
    ) -> Result<Response<wire::HeartbeatResponse>, Status> {
        let caller = caller(&request)?;
        let heartbeat = Heartbeat::try_from(request.into_inner());
        let heartbeat = heartbeat.map_err(|error| RpcError::from(error).into_status())?;
        let answer = self.0.heartbeat(caller, heartbeat).await.map_err(RpcError::into_status)?;
        Ok(Response::new(answer.into()))
    }

    async fn link(
        &self,
        request: Request<Streaming<wire::AgentMessage>>,
    ) -> Result<Response<Self::LinkStream>, Status> {
        let caller = caller(&request)?;
        let messages = request.into_inner().map(|message| match message {
            Ok(message) => Ok(FromAgent::try_from(message)),
            Err(status) => Err(RpcError::from_status(&status)),
        });
        let answers = self.0.link(caller, Box::pin(messages)).await.map_err(RpcError::into_status)?;
        let answers = answers.map(|answer| answer.map(Into::into).map_err(RpcError::into_status));
        Ok(Response::new(Box::pin(answers)))
    }
}
