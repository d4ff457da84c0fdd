//! Weighs the name by which a client says hello, the name of its address, and its manners; see
//! README.md.

mod name;
mod reverse;
mod settings;
mod sign;

use std::net::IpAddr;

use portcullis_plugin::dns::{self, Answer, Kind, LookupError, Query};
use portcullis_plugin::{
    EditError, Hook, Reply, Session, Transaction, Verdict, log, mail_auth, metrics, plugin,
};

use crate::name::Name;
use crate::reverse::Reverse;
use crate::settings::{Own, Rule, Settings};
use crate::sign::Sign;

/// The rules, by the number of the sign.
#[derive(Debug)]
pub struct Helo {
    own: Own,
    rules: [Rule; Sign::ALL.len()],
    most: u32,
    exempt: terms::Exempt,
}

#[plugin]
impl Helo {
    fn configure(mut settings: Settings) -> Result<Self, String> {
        settings.check()?;
        let Settings { own, mut rules, most, exempt } = settings;
        let rules = Sign::ALL.map(|sign| rules.remove(sign.key()).unwrap_or_else(|| sign.usual()));
        Ok(Self { own, rules, most, exempt })
    }

    fn skip(&self) -> Vec<Hook> {
        let mut conduct = Sign::CONDUCT.iter();
        // What is known at MAIL stays; the rest shows later.
        let idle = conduct.all(|(sign, _)| *self.rule(*sign) == Rule::Points(0.0));
        if idle { vec![Hook::Message] } else { Vec::new() }
    }

    // At MAIL and not at HELO: whoever logs in has done so by now, and there is something to score.
    fn mail(&self, session: &Session, transaction: &Transaction) -> Result<Verdict, String> {
        if self.exempt.transaction(session, transaction) {
            return Ok(Verdict::Next);
        }
        let signs = match self.known(session) {
            Some(signs) => signs,
            None => self.find_out(session, transaction)?,
        };
        for sign in signs {
            if let Some(reply) = self.weigh(transaction, sign, 1).map_err(told)? {
                return Ok(refused(session, sign, reply));
            }
        }
        self.weigh_conduct(session, transaction)
    }

    fn message(&self, session: &Session, transaction: &Transaction) -> Result<Verdict, String> {
        if session.conduct().is_empty() || self.exempt.transaction(session, transaction) {
            return Ok(Verdict::Next);
        }
        self.weigh_conduct(session, transaction)
    }
}

impl Helo {
    fn rule(&self, sign: Sign) -> &Rule {
        &self.rules[sign as usize]
    }

    fn counts(&self, sign: Sign) -> bool {
        *self.rule(sign) != Rule::Points(0.0)
    }

    /// Gives the points for a sign, or the refusal.
    fn weigh(
        &self,
        transaction: &Transaction,
        sign: Sign,
        times: u32,
    ) -> Result<Option<&Reply>, EditError> {
        match self.rule(sign) {
            Rule::Points(0.0) => Ok(None),
            Rule::Points(points) => {
                let times = times.min(self.most);
                transaction.score(sign.symbol(), points * f64::from(times))?;
                metrics::add("signs", 1, Some(("sign", sign.key())));
                Ok(None)
            }
            Rule::Refuse(refusal) => {
                metrics::add("signs", 1, Some(("sign", sign.key())));
                Ok(Some(refusal.reply()))
            }
        }
    }

    fn weigh_conduct(
        &self,
        session: &Session,
        transaction: &Transaction,
    ) -> Result<Verdict, String> {
        for (name, count) in session.conduct() {
            let sign = Sign::CONDUCT.iter().find(|(_, known)| *known == name);
            if let Some((sign, _)) = sign
                && let Some(reply) = self.weigh(transaction, *sign, count).map_err(told)?
            {
                return Ok(refused(session, *sign, reply));
            }
        }
        Ok(Verdict::Next)
    }

    /// What an earlier mail of this session, after the same hello, has found out.
    fn known(&self, session: &Session) -> Option<Vec<Sign>> {
        let saved = String::from_utf8(session.load()?).ok()?;
        let (helo, keys) = saved.rsplit_once('\n')?;
        let sign = |key: &str| Sign::ALL.into_iter().find(|sign| sign.key() == key);
        let keys = keys.split(' ').filter(|key| !key.is_empty());
        (helo == session.helo().unwrap_or_default()).then(|| keys.filter_map(sign).collect())
    }

    /// Looks at the name, at the name of the address, and in the DNS, if need be, at both at once.
    fn find_out(&self, session: &Session, transaction: &Transaction) -> Result<Vec<Sign>, String> {
        // Who is at a Unix socket, or whose address a proxy does not tell, has no name to be checked.
        let Some(client) = session.client_ip() else { return Ok(Vec::new()) };
        let helo = session.helo().unwrap_or_default();
        let (mut signs, domain) = match name::look(&helo, client, &self.own) {
            Name::Sign(sign) => (vec![sign], None),
            Name::Domain => (Vec::new(), Some(&*helo)),
        };
        if signs.iter().any(|sign| matches!(self.rule(*sign), Rule::Refuse(_))) {
            return Ok(signs);
        }
        let uncertain = self.ask(client, domain, &mut signs)?;
        if is_public(client) && self.counts(Sign::PtrElsewhere) && !signs.contains(&Sign::NoPtr) {
            let findings = mail_auth::sender(session, transaction);
            let findings = findings.map_err(|_| grant("mail-auth", Sign::PtrElsewhere))?;
            let fails = |one: &mail_auth::Finding| one.method == "iprev" && one.outcome == "fail";
            signs.extend(findings.iter().any(fails).then_some(Sign::PtrElsewhere));
        }
        if !uncertain {
            let keys: Vec<_> = signs.iter().map(|sign| sign.key()).collect();
            session.save(format!("{helo}\n{}", keys.join(" ")).as_bytes()).map_err(told)?;
        }
        Ok(signs)
    }

    /// One batch. Whether there was no answer to a part of it: that is no sign of anything.
    fn ask(
        &self,
        client: IpAddr,
        domain: Option<&str>,
        signs: &mut Vec<Sign>,
    ) -> Result<bool, String> {
        let ptr_signs = [Sign::NoPtr, Sign::PtrNumbers, Sign::PtrDynamic];
        let of_address = is_public(client) && ptr_signs.iter().any(|sign| self.counts(*sign));
        let domain = domain.filter(|_| self.counts(Sign::Unknown));
        let mut queries = Vec::new();
        queries.extend(of_address.then(|| Query::new(&client.to_string(), Kind::Ptr)));
        for kind in [Kind::A, Kind::Aaaa] {
            queries.extend(domain.map(|domain| Query::new(domain, kind)));
        }
        if queries.is_empty() {
            return Ok(false);
        }
        let answers = dns::lookup(&queries).map_err(|error| match error {
            LookupError::Denied => grant("dns", Sign::Unknown),
            LookupError::TooMany => "too many queries".to_owned(),
        })?;
        let (of_address, of_name) = answers.split_at(usize::from(of_address));
        signs.extend(of_address.iter().filter_map(|answer| of_ptr(answer, client)));
        let is_no = |answer: &Answer| matches!(answer, Answer::NoSuchName | Answer::NoData);
        if !of_name.is_empty() && of_name.iter().all(is_no) {
            signs.push(Sign::Unknown);
        }
        Ok(answers.iter().any(Answer::is_uncertain))
    }
}

/// What the name of an address says. Of several one that somebody chose is enough.
fn of_ptr(answer: &Answer, client: IpAddr) -> Option<Sign> {
    match answer {
        Answer::NoSuchName | Answer::NoData => Some(Sign::NoPtr),
        Answer::Failed(_) | Answer::TimedOut => None,
        Answer::Records(names) => {
            let looks = names.iter().map(|name| reverse::look(name, client));
            match looks.min_by_key(|look| *look as u8)? {
                Reverse::Chosen => None,
                Reverse::Numbers => Some(Sign::PtrNumbers),
                Reverse::Dynamic => Some(Sign::PtrDynamic),
            }
        }
    }
}

/// Whether the world is to know a name of it: inside, few give names to addresses.
fn is_public(client: IpAddr) -> bool {
    match client {
        IpAddr::V4(client) => {
            !(client.is_loopback() || client.is_private() || client.is_link_local())
        }
        IpAddr::V6(client) => {
            !(client.is_loopback() || client.is_unique_local() || client.is_unicast_link_local())
        }
    }
}

fn refused(session: &Session, sign: Sign, reply: &Reply) -> Verdict {
    if log::enabled(log::Level::Info) {
        let helo = session.helo().unwrap_or_default();
        let fields = [("sign", sign.key()), ("helo", &helo), ("client", &session.client_address())];
        log::info("refused by its name or manners", &fields);
    }
    reply.clone().into()
}

/// The operator's mistake, which no mail should hide.
fn grant(name: &str, sign: Sign) -> String {
    format!("no grant `{name}`, which the rule `{}` needs; without it the rule is 0", sign.key())
}

fn told(error: EditError) -> String {
    format!("{error:?}")
}
