//! What each hook is called, and what its method may look at.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Error, FnArg, Ident, ReturnType, Signature, Type};

/// One hook of the contract.
pub(crate) struct Hook {
    /// The method's name.
    pub(crate) method: &'static str,
    variant: &'static str,
    /// The module of its bindings and the macro in it that exports.
    pub(crate) module: &'static str,
    pub(crate) export: &'static str,
    sees: &'static [Subject],
}

/// Something that a hook can look at.
#[derive(Clone, Copy, PartialEq)]
enum Subject {
    Session,
    Name,
    Credentials,
    Transaction,
    Recipient,
    Message,
    Events,
}

use Subject::{Credentials, Events, Message, Name, Recipient, Session, Transaction};

/// In the order of the conversation.
pub(crate) const HOOKS: [Hook; 9] = [
    hook("connect", "Connect", "on_connect", "export_on_connect", &[Session]),
    hook("helo", "Helo", "on_helo", "export_on_helo", &[Session, Name]),
    hook("auth", "Auth", "on_auth", "export_on_auth", &[Session, Credentials]),
    hook("mail", "Mail", "on_mail", "export_on_mail", &[Session, Transaction]),
    hook("rcpt", "Rcpt", "on_rcpt", "export_on_rcpt", &[Session, Transaction, Recipient]),
    hook("data", "Data", "on_data", "export_on_data", &[Session, Transaction]),
    hook("headers", "Headers", "on_headers", "export_on_headers", &[Session, Transaction, Message]),
    hook("message", "Message", "on_message", "export_on_message", &[Session, Transaction, Message]),
    hook("outcome", "Outcome", "on_outcome", "export_on_outcome", &[Events]),
];

const fn hook(
    method: &'static str,
    variant: &'static str,
    module: &'static str,
    export: &'static str,
    sees: &'static [Subject],
) -> Hook {
    Hook { method, variant, module, export, sees }
}

impl Hook {
    /// The hook of this method.
    pub(crate) fn named(name: &Ident) -> Option<&'static Self> {
        HOOKS.iter().find(|hook| name == hook.method)
    }

    /// The parameters of the generated `handle`, in the contract's order.
    pub(crate) fn parameters(&self) -> TokenStream {
        let parameters = self.sees.iter().map(|subject| match subject {
            Session => quote!(session: &sdk::Session),
            Name => quote!(name: ::std::string::String),
            Credentials => quote!(credentials: sdk::exports::on_auth::Credentials),
            Transaction => quote!(transaction: &sdk::Transaction),
            Recipient => quote!(recipient: sdk::Recipient),
            Message => quote!(message: &sdk::Message),
            Events => quote!(events: ::std::vec::Vec<sdk::exports::on_outcome::Outcome>),
        });
        quote!(#(#parameters),*)
    }

    /// The question that those parameters make.
    pub(crate) fn question(&self) -> TokenStream {
        let variant = self.variant();
        let subjects = self.sees.iter().map(|subject| match subject {
            Session => quote!(session),
            Name => quote!(&name),
            Credentials => quote!(&credentials),
            Transaction => quote!(transaction),
            Recipient => quote!(&recipient),
            Message => quote!(message),
            Events => quote!(&events),
        });
        quote!(sdk::Question::#variant(#(#subjects),*))
    }

    /// Whether it answers who a client is, and not with a verdict.
    pub(crate) fn authenticates(&self) -> bool {
        self.sees.contains(&Credentials)
    }

    /// Whether it is told something and has no answer.
    pub(crate) fn listens(&self) -> bool {
        self.sees.contains(&Events)
    }

    /// Whether its answer is a verdict.
    pub(crate) fn judges(&self) -> bool {
        !self.authenticates() && !self.listens()
    }

    /// The method that tells the author's `outcome`.
    pub(crate) fn listen(&self, signature: &Signature) -> syn::Result<TokenStream> {
        let wanted = self.wanted(signature)?;
        let arguments = wanted.iter().map(|subject| subject.binding());
        let method = &signature.ident;
        Ok(quote! {
            fn outcome(&mut self, events: &[sdk::Outcome]) {
                let _ = events;
                // By its path: of `self.outcome()` this method itself would be the nearest, where
                // the author's takes `&self`.
                Self::#method(self, #(#arguments),*);
            }
        })
    }

    /// From the question to the author's method.
    pub(crate) fn arm(&self, signature: &Signature) -> syn::Result<TokenStream> {
        let wanted = self.wanted(signature)?;
        let pattern = self
            .sees
            .iter()
            .map(|subject| if wanted.contains(subject) { subject.binding() } else { quote!(_) });
        let (variant, call) = (self.variant(), call(signature, &wanted));
        Ok(quote!(sdk::Question::#variant(#(#pattern),*) => #call,))
    }

    /// The method that asks the author's `auth`.
    pub(crate) fn authenticate(&self, signature: &Signature) -> syn::Result<TokenStream> {
        let wanted = self.wanted(signature)?;
        let unused = self.sees.iter().filter(|subject| !wanted.contains(subject));
        let unused = unused.map(|subject| subject.binding());
        let call = call(signature, &wanted);
        Ok(quote! {
            fn authenticate(
                &mut self,
                session: &sdk::Session,
                credentials: &sdk::Credentials,
            ) -> sdk::Authentication {
                #(let _ = #unused;)*
                #call
            }
        })
    }

    /// What the author's method takes: of what the hook sees what it wants, in the order that it
    /// wants.
    fn wanted(&self, signature: &Signature) -> syn::Result<Vec<Subject>> {
        check_receiver(signature)?;
        let silent = matches!(signature.output, ReturnType::Default);
        if self.listens() && !silent {
            let message = format!("`{}` has no answer", self.method);
            return Err(Error::new_spanned(&signature.output, message));
        }
        if !self.listens() && silent {
            let answer = if self.authenticates() { "an `Authentication`" } else { "a `Verdict`" };
            let message = format!("`{}` answers with {answer}", self.method);
            return Err(Error::new_spanned(signature, message));
        }
        signature.inputs.iter().skip(1).map(|input| self.argument(input)).collect()
    }

    /// The variant of `Hook` and of `Question`.
    pub(crate) fn variant(&self) -> Ident {
        Ident::new(self.variant, Span::call_site())
    }

    fn argument(&self, input: &FnArg) -> syn::Result<Subject> {
        subject(input)
            .filter(|subject| self.sees.contains(subject))
            .ok_or_else(|| Error::new_spanned(input, self.expected()))
    }

    fn expected(&self) -> String {
        let names: Vec<_> = self.sees.iter().map(|subject| subject.written()).collect();
        format!("`{}` can look at {}", self.method, names.join(", "))
    }
}

fn call(signature: &Signature, wanted: &[Subject]) -> TokenStream {
    let arguments = wanted.iter().map(|subject| subject.binding());
    let method = &signature.ident;
    // The span is where a failure is told to be.
    quote_spanned!(method.span()=> sdk::Answer::answer(self.#method(#(#arguments),*)))
}

impl Subject {
    fn binding(self) -> TokenStream {
        match self {
            Session => quote!(session),
            Name => quote!(name),
            Credentials => quote!(credentials),
            Transaction => quote!(transaction),
            Recipient => quote!(recipient),
            Message => quote!(message),
            Events => quote!(events),
        }
    }

    fn written(self) -> &'static str {
        match self {
            Session => "`&Session`",
            Name => "the name as `&str`",
            Credentials => "`&Credentials`",
            Transaction => "`&Transaction`",
            Recipient => "`&Recipient`",
            Message => "`&Message`",
            Events => "`&[Outcome]`",
        }
    }
}

/// Methods start with `&self` or `&mut self`.
pub(crate) fn check_receiver(signature: &Signature) -> syn::Result<()> {
    match signature.receiver() {
        Some(receiver) if receiver.reference.is_some() => Ok(()),
        _ => Err(Error::new_spanned(
            signature,
            format!("`{}` takes `&self` or `&mut self`", signature.ident),
        )),
    }
}

/// Told by the last word of the type behind the reference.
fn subject(input: &FnArg) -> Option<Subject> {
    let FnArg::Typed(typed) = input else { return None };
    let Type::Reference(reference) = &*typed.ty else { return None };
    let (slice, elem) = match &*reference.elem {
        Type::Slice(slice) => (true, &*slice.elem),
        other => (false, other),
    };
    let Type::Path(path) = elem else { return None };
    let last = &path.path.segments.last()?.ident;
    if slice {
        return (last == "Outcome").then_some(Events);
    }
    [
        ("Session", Session),
        ("str", Name),
        ("Credentials", Credentials),
        ("Transaction", Transaction),
        ("Recipient", Recipient),
        ("Message", Message),
    ]
    .into_iter()
    .find_map(|(written, subject)| (last == written).then_some(subject))
}
