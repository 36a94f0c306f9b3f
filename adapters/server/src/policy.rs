//! Who may see what, as the configuration says.

use std::sync::{Arc, PoisonError, RwLock};

use liveset::{Access, Policy, Principal, Restriction};
use serde_json::Value;

use crate::config::PolicyConfig;

/// The rules of the configuration: for each set and path the first that fits a principal counts, and where none does there is
/// nothing to be seen.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    config: PolicyConfig,
    access: Access,
}

impl Rules {
    /// The rules, in their order.
    pub(crate) fn new(rules: &[PolicyConfig]) -> Rules {
        let rule = |config: &PolicyConfig| {
            let restriction = Restriction { rows: config.rows.clone(), fields: config.fields.clone() };
            let access = match restriction == Restriction::default() {
                true => Access::All,
                false => Access::Part(Arc::new(restriction)),
            };
            Rule { config: config.clone(), access }
        };
        Rules(rules.iter().map(rule).collect())
    }

    /// A set that the policy names, and of which it does not show everything to this principal.
    pub(crate) fn hidden_from(&self, who: &Principal) -> Option<&str> {
        let mut named = self.0.iter().filter_map(|rule| rule.config.set.as_deref());
        named.find(|set| self.access(who, set) != Access::All)
    }

    fn of<'a>(&'a self, who: &'a Principal) -> impl Iterator<Item = &'a Rule> {
        self.0.iter().filter(|rule| rule.config.fits(who))
    }
}

/// The rules in force, which can be replaced. A clone is the same. Without rules everyone may do everything that their token allows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies(Arc<RwLock<Arc<Rules>>>);

impl Policies {
    pub(crate) fn new(rules: &[PolicyConfig]) -> Policies {
        Policies(Arc::new(RwLock::new(Arc::new(Rules::new(rules)))))
    }

    /// What principals hold goes by the old ones until they are looked at again.
    pub(crate) fn replace(&self, rules: &[PolicyConfig]) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Rules::new(rules));
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Policy for Policies {
    fn may_subscribe(&self, who: &Principal, path: &str, events: &[Arc<str>]) -> bool {
        let rules = self.rules();
        rules.0.is_empty() || rules.may_subscribe(who, path, events)
    }

    fn access(&self, who: &Principal, edge: &str) -> Access {
        let rules = self.rules();
        if rules.0.is_empty() { Access::All } else { rules.access(who, edge) }
    }

    fn may_write(&self, who: &Principal) -> bool {
        self.rules().may_write(who)
    }
}

impl Policy for Rules {
    fn may_subscribe(&self, who: &Principal, path: &str, events: &[Arc<str>]) -> bool {
        let rule = self.of(who).find(|rule| rule.config.path.as_ref().is_some_and(|of| is_of(of, path)));
        rule.is_some_and(|rule| match &rule.config.events {
            Some(allowed) => events.iter().all(|event| allowed.iter().any(|allowed| **allowed == **event)),
            None => true,
        })
    }

    fn access(&self, who: &Principal, edge: &str) -> Access {
        let of_set = |rule: &&Rule| rule.config.set.as_ref().is_some_and(|set| set == "*" || set == edge);
        self.of(who).find(of_set).map_or(Access::Nothing, |rule| rule.access.clone())
    }

    /// Whoever does not see all of every set that the policy names writes none: an answer tells what was there.
    fn may_write(&self, who: &Principal) -> bool {
        !who.read_only && self.hidden_from(who).is_none()
    }
}

impl PolicyConfig {
    /// Whether it is about this principal.
    fn fits(&self, who: &Principal) -> bool {
        let subject = self.subjects.as_ref();
        subject.is_none_or(|subjects| subjects.iter().any(|subject| **subject == *who.subject))
            && self.claims.iter().all(|(name, wanted)| match who.claims.get(name) {
                Some(Value::Array(has)) if !wanted.is_array() => has.contains(wanted),
                has => has == Some(wanted),
            })
    }
}

/// Whether a path is one of a template: `{…}` stands for any one segment, `*` for every path.
fn is_of(template: &str, path: &str) -> bool {
    let fits = |(of, segment): (&str, &str)| of == segment || (of.starts_with('{') && of.ends_with('}'));
    template == "*"
        || (template.split('/').count() == path.split('/').count()
            && template.split('/').zip(path.split('/')).all(fits))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(toml: &str) -> Rules {
        #[derive(serde::Deserialize)]
        struct File {
            policy: Vec<PolicyConfig>,
        }
        Rules::new(&toml::from_str::<File>(toml).unwrap().policy)
    }

    fn who(subject: &str, claims: Value) -> Principal {
        let Value::Object(claims) = claims else { panic!("{claims}") };
        Principal { claims: Arc::new(claims), ..Principal::new(subject) }
    }

    #[test]
    fn the_first_rule_that_fits_counts_and_without_one_there_is_nothing() {
        let rules = rules(
            r#"
            [[policy]]
            set = "*"
            claims = { roles = "staff", level = 3 }
            [[policy]]
            set = "orders"
            subjects = ["shop", "wall"]
            fields = ["total"]
            [[policy]]
            set = "orders"
            rows = "tenant == $principal.tenant"
            "#,
        );
        let staff = who("x", json!({ "roles": ["other", "staff"], "level": 3 }));
        assert_eq!(rules.access(&staff, "users"), Access::All);
        for almost in [
            json!({ "roles": ["staff"] }),
            json!({ "roles": "staffs", "level": 3 }),
            json!({ "roles": ["staff"], "level": "3" }),
        ] {
            assert_eq!(rules.access(&who("x", almost), "users"), Access::Nothing);
        }
        let fields = Restriction { fields: Some(vec!["total".into()]), rows: None };
        assert_eq!(rules.access(&who("wall", json!({})), "orders"), Access::Part(Arc::new(fields)));
        let rows = Restriction::rows("tenant == $principal.tenant");
        assert_eq!(rules.access(&who("ann", json!({})), "orders"), Access::Part(Arc::new(rows)));
        assert!(!rules.may_subscribe(&staff, "jobs", &["jobStarted".into()]));
        assert!(rules.may_write(&staff) && !rules.may_write(&who("ann", json!({}))));
        assert_eq!(
            (rules.hidden_from(&staff), rules.hidden_from(&who("wall", json!({})))),
            (None, Some("*"))
        );
    }

    #[test]
    fn paths_are_templates() {
        let rules = rules(
            r#"
            [[policy]]
            path = "jobs/{id}"
            events = ["jobStarted"]
            [[policy]]
            path = "*"
            subjects = ["ops"]
            "#,
        );
        let (ops, ann) = (who("ops", json!({})), who("ann", json!({})));
        let may = |who: &Principal, path: &str, event: &str| rules.may_subscribe(who, path, &[event.into()]);
        assert!(may(&ann, "jobs/7", "jobStarted") && !may(&ann, "jobs/7", "jobFailed"));
        for path in ["jobs", "jobs/7/8", "actors/7"] {
            assert!(!may(&ann, path, "jobStarted") && may(&ops, path, "jobStarted"), "{path}");
        }
        assert!(!may(&ops, "jobs/7", "jobFailed"), "the first that fits");
        assert_eq!(rules.access(&ops, "orders"), Access::Nothing);
    }
}
