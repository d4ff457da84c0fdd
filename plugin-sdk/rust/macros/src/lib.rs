//! The attribute of `portcullis-plugin`: from an `impl` block to the exports of a component.

mod hooks;
mod plugin;

use proc_macro::TokenStream;

/// Makes a plugin of the methods of an `impl` block; see the crate `portcullis-plugin`.
#[proc_macro_attribute]
pub fn plugin(arguments: TokenStream, item: TokenStream) -> TokenStream {
    plugin::expand(arguments.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
