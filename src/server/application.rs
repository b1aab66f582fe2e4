//! What holds for every request, and who answers it.
//!
//! Both protocols call [`Application::answer`]. It counts the request, checks who asks and whether one may, and adds the
//! headers of every answer. The calls on the lines of a deployment, which are asked most, are found by a look at the path; all others by
//! the router of actix-web.

use std::rc::Rc;
use std::sync::Arc;

use actix_http::{HttpMessage, Request, Response};
use actix_service::boxed::{self, BoxService};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, map_config};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, RequestHead, ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderValue, RETRY_AFTER, UPGRADE, X_CONTENT_TYPE_OPTIONS};
use actix_web::http::{Method, StatusCode, Version};
use actix_web::{App, Error, ResponseError, web};
use wirelab_clients::wire::{Outcome, Transport};

use super::cors::Cors;
use super::page;
use super::place::Place;
use super::{admission, callers, login};
use crate::access::Role;
use crate::access::addresses::Standing;
use crate::connection::{Answers, Ledger};
use crate::context::{Context, no_such_path};
use crate::exchange::asked::{Answer, Asked};
use crate::exchange::incoming::Incoming;
use crate::exchange::problem::Refusal;
use crate::lab::Children;
use crate::lanes::Lane;
use crate::metrics::{Caller, Metrics};
use crate::{api, lab, transports};

/// `Retry-After` of an overloaded server, s.
const RETRY_AFTER_S: u64 = 5;

/// Path to which a POST creates a deployment.
const CREATIONS: &str = "/api/deployments";

/// What a look at a request tells.
struct Looked {
    place: Place,
    lane: Result<Option<Arc<Lane>>, Refusal>,
    /// The role of the one who asks, if that suffices.
    admitted: Result<Role, Refusal>,
    creates: Creates,
}

/// What a request makes, as far as an address may make so many of it.
#[derive(Clone, Copy)]
enum Creates {
    Deployment,
    Nothing,
}

/// The application of one thread.
pub(super) struct Application {
    context: web::Data<Context>,
    cors: Option<Cors>,
    calls: BoxService<Request, ServiceResponse<BoxBody>, Error>,
}

impl Application {
    /// Makes the application, with its routes.
    pub(super) async fn new(context: web::Data<Context>, children: Option<Children>) -> Result<Self, ()> {
        let calls = map_config(calls(context.clone(), children).into_factory(), |()| AppConfig::default());
        let calls = boxed::service(calls.new_service(()).await?);
        Ok(Self {
            cors: Cors::of(&context.options.allow_origins, &context.options.allow_credentials),
            calls,
            context,
        })
    }

    /// Finds what a request asks for, the lane that it belongs to, and the role of the one who asks.
    fn look_at(&self, head: &RequestHead) -> Looked {
        let path = super::place::path(&head.uri);
        let lane = self.context.lanes.of(&path, head.uri.query().unwrap_or_default());
        let creates = match head.method == Method::POST && path == CREATIONS {
            true => Creates::Deployment,
            false => Creates::Nothing,
        };
        Looked {
            place: Place::of(&path),
            lane,
            admitted: admission::admit(head, &path, &self.context),
            creates,
        }
    }

    /// Refuses a request with an invalid lane, with an unfit host, of an origin that is not allowed, or from one who may
    /// not. Returns the role of one who may.
    fn check(
        &self,
        head: &RequestHead,
        unknown_lane: Option<Refusal>,
        admitted: Result<Role, Refusal>,
    ) -> Result<Role, Refusal> {
        match unknown_lane {
            Some(refusal) => Err(refusal),
            None => callers::check_host(head, &self.context)
                .and_then(|()| callers::check_origin(head, &self.context.options))
                .and(admitted),
        }
    }

    async fn carry_out(&self, request: Request, place: Place, role: Role, ledger: &Ledger) -> Answer {
        let context = &self.context;
        let answered = match place {
            Place::Transport(transport, id) if context.options.transports.contains(&transport) => {
                let asked = Asked::new(request, ledger.share(), role);
                transports::answer(transport, asked, id, context.clone()).await
            }
            Place::Lines(id) => {
                let asked = Asked::new(request, ledger.share(), role);
                api::lines(asked, id, context.clone()).await.map(Answer::by_status)
            }
            Place::Transport(..) | Place::Elsewhere => return self.call(request, ledger).await,
        };
        answered.unwrap_or_else(|refusal| Answer::from(&refusal))
    }

    /// Answers by a handler of actix-web.
    async fn call(&self, request: Request, ledger: &Ledger) -> Answer {
        if request.headers().contains_key(UPGRADE) {
            // For the messages of a WebSocket, which bounds them one by one.
            request.extensions_mut().insert(ledger.share());
        }
        let answered = self.calls.call(request).await;
        Answer::by_status(match answered {
            Ok(answered) => answered.into_parts().1,
            Err(error) => error.error_response(),
        })
    }
}

impl Answers for Application {
    async fn answer(self: Rc<Self>, mut request: Request, ledger: Arc<Ledger>) -> Response<BoxBody> {
        let context = &self.context;
        let Looked { place, lane, admitted, creates } = self.look_at(request.head());
        let caller = place.caller();
        let (lane, unknown_lane) = lane.map_or_else(|refusal| (None, Some(refusal)), |lane| (lane, None));
        if let Some(lane) = &lane {
            lane.asked();
        }
        ledger.claim(caller, lane.clone());
        // HTTP/1.0 has no chunks: a body without a length ends with its connection (RFC 9112 §6.1, §6.3).
        let knows_chunks = request.version() >= Version::HTTP_11;
        let mut counted = Counted { metrics: &context.metrics, caller, lane, outcome: Outcome::Error };
        Incoming::guard(&mut request, &ledger.share());
        let allowed = self.cors.as_ref().and_then(|cors| cors.allowed(request.head()));
        let preflight = self.cors.as_ref().and_then(|cors| cors.preflight(request.head()));
        // One who may not create anything is refused for that alone.
        let creates = admitted.as_ref().map_or(Creates::Nothing, |_| creates);
        let answer = match (within_bounds(&ledger, creates), preflight) {
            (Err(refusal), _) => overloaded(caller, &refusal, &ledger),
            (Ok(()), Some(preflight)) => preflight,
            (Ok(()), None) => match self.check(request.head(), unknown_lane, admitted) {
                Err(refusal) => Answer::from(&refusal),
                Ok(role) => self.carry_out(request, place, role, &ledger).await,
            },
        };
        counted.outcome = answer.outcome;
        let mut response: Response<BoxBody> = answer.response.into();
        if let Some(cors) = &self.cors {
            cors.tell(allowed, response.headers_mut());
        }
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if !knows_chunks {
            response.head_mut().no_chunking(true);
            response.head_mut().set_connection_type(actix_http::ConnectionType::Close);
        }
        response
    }
}

/// Makes the routes of all calls that are not found by a look at the path.
fn calls(
    context: web::Data<Context>,
    children: Option<Children>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(context)
        .configure(api::mount)
        .configure(|config| lab::mount(config, children.clone()))
        .configure(login::mount)
        .configure(page::mount)
        .default_service(web::to(no_such_path))
}

/// Counts a request when it is dropped, even if its client has gone before the answer.
struct Counted<'a> {
    metrics: &'a Metrics,
    caller: Caller,
    lane: Option<Arc<Lane>>,
    outcome: Outcome,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.metrics.of(self.caller).count(self.outcome);
        if let Some(lane) = &self.lane {
            lane.answered(self.outcome);
        }
    }
}

/// Refuses a request on a connection beyond the bound of the server, or beyond a bound of the address that it comes from,
/// for which it is counted.
fn within_bounds(ledger: &Ledger, creates: Creates) -> Result<(), Refusal> {
    let visit = ledger.visit();
    visit.request()?;
    if ledger.is_refused() {
        return Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the server has as many connections as it allows; try again in {RETRY_AFTER_S} s"),
        )
        .with_header(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S)));
    }
    match creates {
        Creates::Deployment => Ok(visit.creation()?),
        Creates::Nothing => Ok(()),
    }
}

/// Answers with a refusal that passes by itself, and closes a connection beyond a bound. On `/sse` it is an empty stream: a
/// browser gives up an EventSource for good after any status but 200.
fn overloaded(caller: Caller, refusal: &Refusal, ledger: &Ledger) -> Answer {
    let mut response = match caller.transport() {
        Some(Transport::Sse) => transports::sse::overloaded(),
        _ => refusal.error_response(),
    };
    // One that is only hasty keeps its connection: a new one would cost more than its next request.
    if ledger.is_refused() || ledger.visit().standing() != Standing::Within {
        response.head_mut().set_connection_type(actix_http::ConnectionType::Close);
    }
    Answer { response, outcome: Outcome::Refused }
}
