//! What `#[plugin]` adds to the `impl` block that it leaves as it is.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Error, FnArg, Ident, ImplItem, ImplItemFn, ItemImpl, Signature, Type};

use crate::hooks::{HOOKS, Hook, check_receiver};

/// The methods of the block by what they are.
struct Methods<'a> {
    configure: Option<&'a Signature>,
    skip: Option<&'a Signature>,
    hooks: Vec<(&'static Hook, &'a Signature)>,
}

/// Expands the attribute.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`#[plugin]` takes no arguments"));
    }
    let block: ItemImpl = syn::parse2(item)?;
    if let Some((_, path, _)) = &block.trait_ {
        return Err(Error::new_spanned(
            path,
            "`#[plugin]` goes on an `impl` block without a trait",
        ));
    }
    if !block.generics.params.is_empty() {
        return Err(Error::new_spanned(&block.generics, "a plugin is one type, without generics"));
    }
    let methods = sort(&block)?;
    let describe = describe(&block.self_ty, &methods)?;
    let exports = exports(&block.self_ty, &methods);
    Ok(quote! {
        #block

        const _: () = {
            use ::portcullis_plugin as sdk;
            #describe
            #exports
        };
    })
}

fn sort(block: &ItemImpl) -> syn::Result<Methods<'_>> {
    let mut methods = Methods { configure: None, skip: None, hooks: Vec::new() };
    for item in &block.items {
        let ImplItem::Fn(ImplItemFn { sig, .. }) = item else { continue };
        if sig.ident == "configure" {
            methods.configure = Some(sig);
        } else if sig.ident == "skip" {
            methods.skip = Some(sig);
        } else {
            methods.hooks.push((Hook::named(&sig.ident).ok_or_else(|| unknown(&sig.ident))?, sig));
        }
    }
    if methods.hooks.is_empty() {
        let message = format!("a plugin has at least one hook of {}", names());
        return Err(Error::new_spanned(&block.self_ty, message));
    }
    Ok(methods)
}

/// A misspelt hook would be a plugin that is never asked, so nothing else may stand in the block.
fn unknown(name: &Ident) -> Error {
    let message = format!(
        "`{name}` is not a hook; the hooks are {}, beside `configure` and `skip` \
         (other functions go into an `impl` block of their own)",
        names()
    );
    Error::new(name.span(), message)
}

fn names() -> String {
    HOOKS.map(|hook| format!("`{}`", hook.method)).join(", ")
}

/// `impl Plugin`: what the gateway's glue and native tests need to know, on every target.
fn describe(plugin: &Type, methods: &Methods<'_>) -> syn::Result<TokenStream> {
    let hooks = methods.hooks.iter().map(|(hook, _)| hook.variant());
    let (ask, authenticate, listen) = (ask(methods)?, authenticate(methods)?, listen(methods)?);
    let configure = match methods.configure {
        Some(signature) => {
            let settings = settings_type(signature)?;
            quote! {
                let settings = sdk::settings::read::<#settings>(settings)?;
                <#plugin>::configure(settings).map_err(|error| ::std::string::ToString::to_string(&error))
            }
        }
        None => quote! {
            sdk::settings::none(settings)?;
            ::std::result::Result::Ok(::std::default::Default::default())
        },
    };
    let skip = match methods.skip {
        Some(signature) => {
            check_receiver(signature)?;
            quote!(<#plugin>::skip(self))
        }
        None => quote!(::std::vec::Vec::new()),
    };
    Ok(quote! {
        impl sdk::Plugin for #plugin {
            const HOOKS: &'static [sdk::Hook] = &[#(sdk::Hook::#hooks),*];

            fn configure(settings: &str) -> ::std::result::Result<Self, ::std::string::String> {
                #configure
            }

            fn skip(&self) -> ::std::vec::Vec<sdk::Hook> {
                #skip
            }

            fn ask(&mut self, question: sdk::Question<'_>) -> sdk::Verdict {
                #ask
            }

            #authenticate

            #listen
        }
    })
}

fn ask(methods: &Methods<'_>) -> syn::Result<TokenStream> {
    let arms = methods
        .hooks
        .iter()
        .filter(|(hook, _)| hook.judges())
        .map(|(hook, signature)| hook.arm(signature))
        .collect::<syn::Result<Vec<_>>>()?;
    if arms.is_empty() {
        return Ok(quote! {
            let _ = question;
            sdk::Verdict::Next
        });
    }
    let all = HOOKS.iter().filter(|hook| hook.judges()).count();
    let others = (arms.len() < all).then(|| quote!(_ => sdk::Verdict::Next,));
    Ok(quote!(match question { #(#arms)* #others }))
}

/// None where the plugin has no such hook: the trait answers for it.
fn authenticate(methods: &Methods<'_>) -> syn::Result<Option<TokenStream>> {
    let auth = methods.hooks.iter().find(|(hook, _)| hook.authenticates());
    auth.map(|(hook, signature)| hook.authenticate(signature)).transpose()
}

/// None where the plugin has no such hook: the trait does nothing for it.
fn listen(methods: &Methods<'_>) -> syn::Result<Option<TokenStream>> {
    let outcome = methods.hooks.iter().find(|(hook, _)| hook.listens());
    outcome.map(|(hook, signature)| hook.listen(signature)).transpose()
}

fn settings_type(signature: &Signature) -> syn::Result<&Type> {
    match signature.inputs.first() {
        Some(FnArg::Typed(settings)) if signature.inputs.len() == 1 => Ok(&settings.ty),
        _ => Err(Error::new_spanned(
            signature,
            "`configure` takes the settings, a type that implements `serde::Deserialize`, \
             and gives a `Result<Self, _>`",
        )),
    }
}

/// The exports of the component: `lifecycle` and the hooks that are written, no others.
fn exports(plugin: &Type, methods: &Methods<'_>) -> TokenStream {
    let hooks = methods.hooks.iter().map(|(hook, _)| export(hook));
    quote! {
        #[cfg(target_family = "wasm")]
        const _: () = {
            ::std::thread_local! {
                static PLUGIN: sdk::guest::Slot<#plugin> = const { sdk::guest::Slot::empty() };
            }

            struct Exports;

            impl sdk::exports::lifecycle::Guest for Exports {
                fn configure(
                    settings: ::std::string::String,
                ) -> ::std::result::Result<sdk::exports::lifecycle::Subscription, ::std::string::String> {
                    PLUGIN.with(|slot| slot.configure(&settings))
                }
            }
            sdk::exports::lifecycle::export_lifecycle!(
                Exports with_types_in sdk::exports::lifecycle
            );

            #(#hooks)*
        };
    }
}

fn export(hook: &Hook) -> TokenStream {
    let parameters = hook.parameters();
    let (answer, ask) = if hook.authenticates() {
        (quote!(-> sdk::exports::on_auth::Answer), quote!(authenticate(session, credentials)))
    } else if hook.listens() {
        (quote!(), quote!(outcome(events)))
    } else {
        let question = hook.question();
        (quote!(-> sdk::Verdict), quote!(ask(#question)))
    };
    let module = Ident::new(hook.module, Span::call_site());
    let export = Ident::new(hook.export, Span::call_site());
    quote! {
        impl sdk::exports::#module::Guest for Exports {
            fn handle(#parameters) #answer {
                PLUGIN.with(|slot| slot.#ask)
            }
        }
        sdk::exports::#module::#export!(Exports with_types_in sdk::exports::#module);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(item: TokenStream) -> String {
        expand(TokenStream::new(), item).unwrap_err().to_string()
    }

    #[test]
    fn a_misspelt_hook_does_not_compile() {
        let mistake = mistake(quote!(impl A { fn recipient(&self) -> Verdict {} }));
        assert!(mistake.starts_with("`recipient` is not a hook; the hooks are `connect`, `helo`"));
    }

    #[test]
    fn mistakes_are_told() {
        for (item, told) in [
            (quote!(impl A {}), "a plugin has at least one hook of `connect`"),
            (quote!(impl A for B {}), "`#[plugin]` goes on an `impl` block without a trait"),
            (
                quote!(
                    impl<T> A<T> {}
                ),
                "a plugin is one type, without generics",
            ),
            (quote!(impl A { fn rcpt() -> Verdict {} }), "`rcpt` takes `&self` or `&mut self`"),
            (quote!(impl A { fn rcpt(self) -> Verdict {} }), "`rcpt` takes `&self` or `&mut self`"),
            (quote!(impl A { fn rcpt(&self) {} }), "`rcpt` answers with a `Verdict`"),
            (quote!(impl A { fn outcome(&self) -> Verdict {} }), "`outcome` has no answer"),
            (
                quote!(impl A { fn outcome(&self, events: Vec<Outcome>) {} }),
                "`outcome` can look at `&[Outcome]`",
            ),
            (quote!(impl A { fn auth(&self) {} }), "`auth` answers with an `Authentication`"),
            (
                quote!(impl A { fn auth(&self, name: &str) -> Authentication {} }),
                "`auth` can look at `&Session`, `&Credentials`",
            ),
            (
                quote!(impl A { fn mail(&self, to: &Recipient) -> Verdict {} }),
                "`mail` can look at `&Session`, `&Transaction`",
            ),
            (
                quote!(impl A { fn helo(&self, name: String) -> Verdict {} }),
                "`helo` can look at `&Session`, the name as `&str`",
            ),
            (
                quote!(impl A { fn configure() -> A {} fn mail(&self) -> Verdict {} }),
                "`configure` takes the settings",
            ),
        ] {
            let mistake = mistake(item);
            assert!(mistake.starts_with(told), "{mistake}");
        }
    }

    #[test]
    fn only_what_is_written_is_exported() {
        let item = quote!(impl A { fn rcpt(&self, to: &Recipient) -> Verdict {} });
        let expanded = expand(TokenStream::new(), item).unwrap().to_string();
        assert!(expanded.contains("export_on_rcpt"));
        assert!(!expanded.contains("export_on_mail"));
    }
}
