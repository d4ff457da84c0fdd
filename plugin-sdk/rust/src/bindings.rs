//! What wit-bindgen makes of the contract's imports.

wit_bindgen::generate!({
    path: "../wit",
    world: "smtp:filter/capabilities",
    additional_derives: [PartialEq],
    generate_unused_types: true,
    pub_export_macro: true,
    generate_all,
});
