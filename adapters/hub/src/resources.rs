//! Declared resources: path templates and the event types that each of them has.

use std::{collections::BTreeMap, sync::Arc};

use thiserror::Error;

use crate::limits::{MAX_EVENT_TYPES, MAX_PATH_SEGMENTS, MAX_TEMPLATES};

/// The resources that clients can subscribe to: path templates such as `jobs/{jobId}`, each with its event types.
///
/// A parameter (`{name}`) stands for exactly one segment that is not empty. Where several templates match a path the
/// most specific one counts: from left to right, a literal segment goes before a parameter.
///
/// ```
/// use liveset_hub::Resources;
///
/// let mut resources = Resources::stock();
/// resources.declare("invoices/{invoiceId}", ["invoicePaid"])?;
/// assert!(resources.declares_event("invoices/42", "invoicePaid").is_ok());
/// let error = resources.declares_event("invoices", "invoicePaid").unwrap_err();
/// assert_eq!(error.to_string(), "Unknown resource path: invoices");
/// # Ok::<(), liveset_hub::DeclareError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// By number of segments; within one number the more specific goes first.
    templates: BTreeMap<usize, Vec<Template>>,
}

/// Why a resource could not be declared.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeclareError {
    /// The template is empty, has an empty segment, or more than [`MAX_PATH_SEGMENTS`].
    #[error("resource '{0}': a path has 1 to {MAX_PATH_SEGMENTS} segments, none of them empty")]
    Segments(String),
    /// A brace stands where it has no meaning, or a parameter has no name.
    #[error("resource '{0}': a parameter is a whole segment of the form {{name}}")]
    Parameter(String),
    /// Another template matches the same paths.
    #[error("resource '{0}' is declared already, as '{1}'")]
    Duplicate(String, String),
    /// No event types, an empty one, one twice, or more than [`MAX_EVENT_TYPES`].
    #[error("resource '{0}': 1 to {MAX_EVENT_TYPES} different event types are needed, none of them empty")]
    Events(String),
    /// There are [`MAX_TEMPLATES`] already.
    #[error("no more than {MAX_TEMPLATES} resources can be declared")]
    TooMany,
}

/// Why a path or an event type does not exist.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResourceError {
    /// No template matches the path.
    #[error("Unknown resource path: {0}")]
    UnknownPath(String),
    /// The path is a template.
    #[error("'{0}' is a template: a path has values in place of what is in braces")]
    Template(String),
    /// The path's template does not declare the event type.
    #[error("Unknown event type '{event_type}' for path '{path}'; it has {declared}")]
    UnknownEvent {
        /// The path asked for.
        path: String,
        /// The event type asked for.
        event_type: String,
        /// What the path has, separated by commas.
        declared: String,
    },
}

#[derive(Clone, Debug)]
struct Template {
    text: String,
    segments: Vec<Segment>,
    events: Vec<Arc<str>>,
}

/// The order makes literals go before parameters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(Box<str>),
    Parameter,
}

impl Resources {
    /// No resources: every path is unknown.
    pub fn new() -> Self {
        Self::default()
    }

    /// The protocol's own catalogue: `jobs`, `jobs/{jobId}`, `job-definitions`, `job-definitions/{jobDefinitionId}`,
    /// `actors`, `actors/{actorType}`, `actors/{actorType}/{actorId}`.
    pub fn stock() -> Self {
        const JOBS: &[&str] = &["jobScheduled", "jobStarted", "jobCompleted", "jobFailed"];
        const CATALOGUE: &[(&str, &[&str])] = &[
            ("jobs", JOBS),
            ("jobs/{jobId}", JOBS),
            ("job-definitions", &["jobStatistics"]),
            ("job-definitions/{jobDefinitionId}", &["jobStatistics"]),
            ("actors", &["actorCheckpoint"]),
            ("actors/{actorType}", &["actorCheckpoint"]),
            ("actors/{actorType}/{actorId}", &["actorCheckpoint"]),
        ];
        let mut resources = Self::new();
        for (template, events) in CATALOGUE {
            let declared = resources.declare(template, events.iter().copied());
            debug_assert!(declared.is_ok(), "the catalogue is well-formed");
        }
        resources
    }

    /// Adds a path template with its event types. Two templates may not match the same paths, whatever their
    /// parameters are called.
    ///
    /// # Errors
    ///
    /// See [`DeclareError`]; nothing is changed then.
    pub fn declare<E>(
        &mut self,
        template: &str,
        events: impl IntoIterator<Item = E>,
    ) -> Result<&mut Self, DeclareError>
    where
        E: Into<Arc<str>>,
    {
        let segments = template.split('/').map(Segment::parse).collect::<Option<Vec<_>>>();
        let segments = segments.ok_or_else(|| DeclareError::Parameter(template.to_owned()))?;
        if segments.len() > MAX_PATH_SEGMENTS || template.split('/').any(str::is_empty) {
            return Err(DeclareError::Segments(template.to_owned()));
        }
        let mut declared: Vec<Arc<str>> = Vec::new();
        for event in events {
            let event = event.into();
            if event.is_empty() || declared.contains(&event) || declared.len() == MAX_EVENT_TYPES {
                return Err(DeclareError::Events(template.to_owned()));
            }
            declared.push(event);
        }
        if declared.is_empty() {
            return Err(DeclareError::Events(template.to_owned()));
        }
        if self.templates.values().map(Vec::len).sum::<usize>() >= MAX_TEMPLATES {
            return Err(DeclareError::TooMany);
        }
        let same_length = self.templates.entry(segments.len()).or_default();
        match same_length.binary_search_by(|other| other.segments.cmp(&segments)) {
            Ok(at) => Err(DeclareError::Duplicate(template.to_owned(), same_length[at].text.clone())),
            Err(at) => {
                same_length.insert(at, Template { text: template.to_owned(), segments, events: declared });
                Ok(self)
            }
        }
    }

    /// Whether some template matches the path. Cost: the templates of as many segments.
    pub fn declares(&self, path: &str) -> bool {
        self.template(path).is_some()
    }

    /// The event types of a path, `None` where no template matches it.
    pub fn events(&self, path: &str) -> Option<&[Arc<str>]> {
        self.template(path).map(|template| &*template.events)
    }

    /// Whether the path exists and has the event type.
    ///
    /// # Errors
    ///
    /// Which of the two is not so; the text is what clients are told.
    pub fn declares_event(&self, path: &str, event_type: &str) -> Result<(), ResourceError> {
        self.declares_events(path, &[event_type])
    }

    /// The same for several event types of one path, of which the first that it does not have is named. The template is looked up
    /// once, which costs more than the event types do.
    pub(crate) fn declares_events(
        &self,
        path: &str,
        event_types: &[impl AsRef<str>],
    ) -> Result<(), ResourceError> {
        if path.contains(['{', '}']) {
            return Err(ResourceError::Template(path.to_owned()));
        }
        let Some(template) = self.template(path) else {
            return Err(ResourceError::UnknownPath(path.to_owned()));
        };
        let unknown = event_types
            .iter()
            .map(AsRef::as_ref)
            .find(|event_type| !template.events.iter().any(|declared| **declared == **event_type));
        match unknown {
            None => Ok(()),
            Some(event_type) => Err(ResourceError::UnknownEvent {
                path: path.to_owned(),
                event_type: event_type.to_owned(),
                declared: template.events.join(", "),
            }),
        }
    }

    /// The declared paths that an event at `path` reaches: the path itself, then its declared ancestors, the nearest
    /// first. Empty where the path is not declared.
    pub fn reached<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        let own = self.declares(path).then_some(path);
        own.into_iter().flat_map(move |path| {
            let ancestors = path.rmatch_indices('/').map(move |(at, _)| &path[..at]);
            std::iter::once(path).chain(ancestors.filter(|ancestor| self.declares(ancestor)))
        })
    }

    /// Every template as it was declared, with its event types; fewer segments first, then the more specific first.
    pub fn templates(&self) -> impl Iterator<Item = (&str, &[Arc<str>])> {
        self.templates.values().flatten().map(|template| (&*template.text, &*template.events))
    }

    fn template(&self, path: &str) -> Option<&Template> {
        // A path from outside can be long: count no further than templates go.
        let segments = path.split('/').take(MAX_PATH_SEGMENTS + 1).count();
        self.templates.get(&segments)?.iter().find(|template| template.matches(path))
    }
}

impl Template {
    /// `path` has as many segments as the template.
    fn matches(&self, path: &str) -> bool {
        self.segments.iter().zip(path.split('/')).all(|(segment, text)| match segment {
            Segment::Literal(literal) => **literal == *text,
            Segment::Parameter => !text.is_empty(),
        })
    }
}

impl Segment {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) if name.is_empty() || name.contains(['{', '}']) => None,
            Some(_) => Some(Self::Parameter),
            None if text.contains(['{', '}']) => None,
            None => Some(Self::Literal(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_that_was_pasted_is_no_path() {
        let resources = Resources::stock();
        for path in ["jobs/{jobId}", "jobs/{7", "actors/{actorType}/1", "jobs/}"] {
            let error = resources.declares_event(path, "jobStarted").unwrap_err();
            assert!(error.to_string().starts_with(&format!("'{path}' is a template")), "{error}");
        }
    }

    #[test]
    fn stock_catalogue_is_the_documents() {
        let resources = Resources::stock();
        assert_eq!(resources.templates().count(), 7);
        for (path, event) in [
            ("jobs", "jobScheduled"),
            ("jobs/7", "jobFailed"),
            ("job-definitions", "jobStatistics"),
            ("job-definitions/sync", "jobStatistics"),
            ("actors", "actorCheckpoint"),
            ("actors/orders", "actorCheckpoint"),
            ("actors/orders/1", "actorCheckpoint"),
        ] {
            assert_eq!(resources.declares_event(path, event), Ok(()), "{path} {event}");
        }
    }

    #[test]
    fn unknown_paths_and_events_say_so_in_the_documents_words() {
        let resources = Resources::stock();
        for path in [
            "invalid/path",
            "",
            "/",
            "jobs/",
            "/jobs",
            "jobs//",
            "jobs/7/8",
            "Jobs",
            "actors//1",
            "actors/orders/",
        ] {
            let error = resources.declares_event(path, "jobFailed").unwrap_err();
            assert_eq!(error.to_string(), format!("Unknown resource path: {path}"));
        }
        let error = resources.declares_event("jobs/7", "jobExploded").unwrap_err();
        assert_eq!(
            error.to_string(),
            "Unknown event type 'jobExploded' for path 'jobs/7'; it has jobScheduled, jobStarted, jobCompleted, jobFailed"
        );
    }

    #[test]
    fn events_reach_declared_ancestors_only() {
        let mut resources = Resources::stock();
        resources.declare("shops/{shop}/tills/{till}", ["sold"]).unwrap();
        resources.declare("shops", ["sold"]).unwrap();
        let reached = |path| resources.reached(path).collect::<Vec<_>>();
        assert_eq!(reached("actors/orders/1"), ["actors/orders/1", "actors/orders", "actors"]);
        assert_eq!(reached("jobs"), ["jobs"]);
        assert_eq!(reached("shops/1/tills/2"), ["shops/1/tills/2", "shops"]);
        assert_eq!(reached("shops/1"), Vec::<&str>::new());
    }

    #[test]
    fn the_most_specific_template_counts() {
        let mut resources = Resources::new();
        resources.declare("actors/{type}", ["any"]).unwrap();
        resources.declare("actors/orders", ["order"]).unwrap();
        resources.declare("{root}/orders", ["rooted"]).unwrap();
        let events = |path| resources.events(path).map(|events| events.join(","));
        assert_eq!(events("actors/orders").as_deref(), Some("order"));
        assert_eq!(events("actors/skus").as_deref(), Some("any"));
        assert_eq!(events("other/orders").as_deref(), Some("rooted"));
        assert_eq!(events("other/skus"), None);
    }

    #[test]
    fn bad_declarations_are_refused_and_change_nothing() {
        let mut resources = Resources::new();
        resources.declare("a/{b}", ["e"]).unwrap();
        let mut refused = |template: &str, events: &[&str]| {
            resources.declare(template, events.iter().copied()).map(|_| ()).unwrap_err()
        };
        assert!(matches!(refused("a/{c}", &["e"]), DeclareError::Duplicate(..)));
        assert!(matches!(refused("", &["e"]), DeclareError::Segments(_)));
        assert!(matches!(refused("a//b", &["e"]), DeclareError::Segments(_)));
        assert!(matches!(refused(&["s"; 17].join("/"), &["e"]), DeclareError::Segments(_)));
        assert!(matches!(refused("a/{}", &["e"]), DeclareError::Parameter(_)));
        assert!(matches!(refused("a/x{b}", &["e"]), DeclareError::Parameter(_)));
        assert!(matches!(refused("x", &[]), DeclareError::Events(_)));
        assert!(matches!(refused("x", &["e", "e"]), DeclareError::Events(_)));
        assert!(matches!(refused("x", &[""]), DeclareError::Events(_)));
        assert_eq!(resources.templates().count(), 1);
    }
}
