//! gRPC by generic functions, so that the generated code holds only names: one function per shape of call and side.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use futures::Stream;
use prost::Message;
pub(crate) use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::Grpc;
use tonic_prost::ProstCodec;

pub(crate) type HttpRequest = http::Request<Body>;
pub(crate) type HttpResponse = http::Response<Body>;
pub(crate) type HttpFuture = Pin<Box<dyn Future<Output = Result<HttpResponse, Infallible>> + Send>>;

/// What a server-streaming call gives.
pub type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Image lists and event batches of big nodes exceed gRPC's 4 MiB; upstream's limit is this one.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// The answer to a call that a runtime does not serve.
pub(crate) fn unserved(method: &str) -> Status {
    Status::unimplemented(format!("method {method} not implemented"))
}

/// The answer to a path that is no method at all.
pub(crate) fn unknown_method() -> HttpFuture {
    Box::pin(async { Ok(Status::unimplemented("unknown method").into_http()) })
}

fn grpc<Req, Res>() -> Grpc<ProstCodec<Res, Req>>
where
    Req: Message + Default + 'static,
    Res: Message + 'static,
{
    Grpc::new(ProstCodec::default()).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

pub(crate) fn serve_unary<Req, Res, F, Fut>(request: HttpRequest, call: F) -> HttpFuture
where
    Req: Message + Default + 'static,
    Res: Message + 'static,
    F: FnOnce(Req) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Res, Status>> + Send + 'static,
{
    Box::pin(async move {
        let mut call = Some(call);
        let service = tower::service_fn(move |request: tonic::Request<Req>| {
            let work = call.take().map(|call| call(request.into_inner()));
            async move {
                match work {
                    Some(work) => work.await.map(tonic::Response::new),
                    None => Err(Status::internal("a unary call arrived twice")),
                }
            }
        });
        Ok(grpc().unary(service, request).await)
    })
}

pub(crate) fn serve_stream<Req, Res, F, Fut>(request: HttpRequest, call: F) -> HttpFuture
where
    Req: Message + Default + 'static,
    Res: Message + 'static,
    F: FnOnce(Req) -> Fut + Send + 'static,
    Fut: Future<Output = Result<ResponseStream<Res>, Status>> + Send + 'static,
{
    Box::pin(async move {
        let mut call = Some(call);
        let service = StreamService(move |message: Req| call.take().map(|call| call(message)));
        Ok(grpc().server_streaming(service, request).await)
    })
}

/// Adapts a function to the trait that tonic asks of a streaming call.
struct StreamService<F>(F);

impl<F, Req, Res, Fut> tonic::server::ServerStreamingService<Req> for StreamService<F>
where
    Req: Message,
    Res: Message + 'static,
    F: FnMut(Req) -> Option<Fut>,
    Fut: Future<Output = Result<ResponseStream<Res>, Status>> + Send + 'static,
{
    type Response = Res;
    type ResponseStream = ResponseStream<Res>;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Req>) -> Self::Future {
        let work = (self.0)(request.into_inner());
        Box::pin(async move {
            match work {
                Some(work) => work.await.map(tonic::Response::new),
                None => Err(Status::internal("a streaming call arrived twice")),
            }
        })
    }
}
