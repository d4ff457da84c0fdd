//! What is answered at a path: to whom, and within which bounds.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;

use super::{Answer, Ask};

pub use crate::config::AdminRole as Role;

/// What answers.
pub(super) type Handler = Arc<dyn Fn(Ask) -> Pending + Send + Sync>;
type Pending = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Who may ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    /// Everyone who reaches the address: probes show nothing of themselves.
    Everyone,
    /// Those who may look, and everyone at the addresses of `admin.metrics`.
    Scrapers,
    /// Those of this role.
    Only(Role),
}

/// One method at one path.
#[derive(Clone)]
pub struct Route {
    pub(super) path: &'static str,
    pub(super) method: Method,
    pub(super) access: Access,
    /// Whether it is there at the addresses of `admin.metrics`, too.
    pub(super) is_for_scrapers: bool,
    pub(super) body_octets: usize,
    /// None waits as long as it takes.
    pub(super) patience: Option<Duration>,
    pub(super) handler: Handler,
}

impl Route {
    /// GET and HEAD, for readers.
    pub fn get<F>(path: &'static str, handler: impl Fn(Ask) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::new(path, Method::GET, Role::Reader, handler)
    }

    /// POST, for writers.
    pub fn post<F>(path: &'static str, handler: impl Fn(Ask) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::new(path, Method::POST, Role::Writer, handler)
    }

    fn new<F>(
        path: &'static str,
        method: Method,
        role: Role,
        handler: impl Fn(Ask) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |ask| Box::pin(handler(ask)));
        let (access, patience) = (Access::Only(role), Some(PATIENCE));
        Self {
            path,
            method,
            access,
            is_for_scrapers: false,
            body_octets: BODY_OCTETS,
            patience,
            handler,
        }
    }

    /// For everyone who reaches the address, with no token and whatever name it has for it.
    #[must_use]
    pub(super) fn for_everyone(self) -> Self {
        Self { access: Access::Everyone, ..self }
    }

    /// The same, at the addresses of `admin.metrics`, too.
    #[must_use]
    pub(super) fn for_probes(self) -> Self {
        Self { access: Access::Everyone, is_for_scrapers: true, ..self }
    }

    /// For readers, and for everyone at the addresses of `admin.metrics`.
    #[must_use]
    pub(super) fn for_scrapers(self) -> Self {
        Self { access: Access::Scrapers, is_for_scrapers: true, ..self }
    }

    /// With a request body of at most so many octets.
    #[must_use]
    pub fn with_body(self, octets: usize) -> Self {
        Self { body_octets: octets, ..self }
    }

    /// The answer may take as long as it takes: plugins are compiled, or many messages handled.
    #[must_use]
    pub fn unhurried(self) -> Self {
        Self { patience: None, ..self }
    }
}

impl Route {
    /// A path that ends in `/*` is one for each name there.
    fn leads_to(&self, path: &str) -> bool {
        match self.path.strip_suffix('*') {
            Some(folder) => path
                .strip_prefix(folder)
                .is_some_and(|name| !name.is_empty() && !name.contains('/')),
            None => self.path == path,
        }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} for {:?}", self.method, self.path, self.access)
    }
}

/// What a path and a method lead to.
#[derive(Debug)]
pub(super) enum Found<'a> {
    Route(&'a Route),
    /// Other methods only; what `Allow` says.
    Allowed(String),
    /// Nothing; the paths that there are.
    Paths(String),
}

pub(super) fn find<'a>(routes: &'a [Route], method: &Method, path: &str) -> Found<'a> {
    let meant = if *method == Method::HEAD { &Method::GET } else { method };
    let here = || routes.iter().filter(|route| route.leads_to(path));
    if let Some(route) = here().find(|route| route.method == *meant) {
        return Found::Route(route);
    }
    let methods: Vec<_> = here().map(|route| &route.method).collect();
    if !methods.is_empty() {
        let with_head = |method: &&Method| match **method == Method::GET {
            true => "GET, HEAD".to_owned(),
            false => method.to_string(),
        };
        let allowed: Vec<_> = methods.iter().map(with_head).collect();
        return Found::Allowed(allowed.join(", "));
    }
    // What the page is made of helps nobody who looks for something.
    let told = |path: &&str| !path.starts_with("/page");
    let mut paths: Vec<_> = routes.iter().map(|route| route.path).filter(told).collect();
    paths.sort_unstable();
    paths.dedup();
    Found::Paths(paths.join(" "))
}

/// Longer than any question of a form; what takes more says so.
const BODY_OCTETS: usize = 64 << 10;

/// For a handler that has nothing to wait for but a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_a_method_lead_to_one_handler_and_others_are_told_what_there_is() {
        let nothing = |_| async { Answer::text("") };
        let routes = [
            Route::get("/b", nothing),
            Route::post("/b", nothing),
            Route::get("/a", nothing),
            Route::post("/c", nothing),
            Route::get("/d/*", nothing),
        ];
        for (method, path, told) in [
            (Method::GET, "/b", "Route(GET /b for Only(Reader))"),
            (Method::HEAD, "/b", "Route(GET /b for Only(Reader))"),
            (Method::POST, "/b", "Route(POST /b for Only(Writer))"),
            (Method::PUT, "/b", "Allowed(\"GET, HEAD, POST\")"),
            (Method::HEAD, "/c", "Allowed(\"POST\")"),
            (Method::GET, "/d/x", "Route(GET /d/* for Only(Reader))"),
            (Method::GET, "/d/", "Paths(\"/a /b /c /d/*\")"),
            (Method::GET, "/d/x/y", "Paths(\"/a /b /c /d/*\")"),
            (Method::GET, "/b/", "Paths(\"/a /b /c /d/*\")"),
            (Method::GET, "*", "Paths(\"/a /b /c /d/*\")"),
        ] {
            assert_eq!(format!("{:?}", find(&routes, &method, path)), told, "{method} {path}");
        }
    }
}
