//! What wit-bindgen makes of the contract's exports: a world for each, so that a plugin exports the
//! hooks that it has written and no others.

pub mod lifecycle {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package portcullis:plugin; world lifecycle { export smtp:filter/lifecycle@0.1.0; }",
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
    });

    pub use self::exports::smtp::filter::lifecycle::*;
}

pub mod on_connect {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package portcullis:plugin; world on-connect { export smtp:filter/on-connect@0.1.0; }",
        with: { "smtp:filter/types@0.1.0": crate::bindings::smtp::filter::types },
        pub_export_macro: true,
        export_macro_name: "export_on_connect",
    });

    pub use self::exports::smtp::filter::on_connect::*;
}

pub mod on_helo {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package portcullis:plugin; world on-helo { export smtp:filter/on-helo@0.1.0; }",
        with: { "smtp:filter/types@0.1.0": crate::bindings::smtp::filter::types },
        pub_export_macro: true,
        export_macro_name: "export_on_helo",
    });

    pub use self::exports::smtp::filter::on_helo::*;
}

pub mod on_auth {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package portcullis:plugin; world on-auth { export smtp:filter/on-auth@0.1.0; }",
        with: { "smtp:filter/types@0.1.0": crate::bindings::smtp::filter::types },
        pub_export_macro: true,
        export_macro_name: "export_on_auth",
    });

    pub use self::exports::smtp::filter::on_auth::*;
}

pub mod on_mail {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package portcullis:plugin; world on-mail { export smtp:filter/on-mail@0.1.0; }",
        with: { "smtp:filter/types@0.1.0": crate::bindings::smtp::filter::types },
        pub_export_macro: true,
        export_macro_name: "export_on_mail",
    });

    pub use self::exports::smtp::filter::on_mail::*;
}

pub mod on_rcpt {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package portcullis:plugin; world on-rcpt { export smtp:filter/on-rcpt@0.1.0; }",
        with: { "smtp:filter/types@0.1.0": crate::bindings::smtp::filter::types },
        pub_export_macro: true,
        export_macro_name: "export_on_rcpt",
    });

    pub use self::exports::smtp::filter::on_rcpt::*;
}

pub mod on_data {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package portcullis:plugin; world on-data { export smtp:filter/on-data@0.1.0; }",
        with: { "smtp:filter/types@0.1.0": crate::bindings::smtp::filter::types },
        pub_export_macro: true,
        export_macro_name: "export_on_data",
    });

    pub use self::exports::smtp::filter::on_data::*;
}

pub mod on_headers {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package portcullis:plugin; world on-headers { export smtp:filter/on-headers@0.1.0; }",
        with: { "smtp:filter/types@0.1.0": crate::bindings::smtp::filter::types },
        pub_export_macro: true,
        export_macro_name: "export_on_headers",
    });

    pub use self::exports::smtp::filter::on_headers::*;
}

pub mod on_message {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package portcullis:plugin; world on-message { export smtp:filter/on-message@0.1.0; }",
        with: { "smtp:filter/types@0.1.0": crate::bindings::smtp::filter::types },
        pub_export_macro: true,
        export_macro_name: "export_on_message",
    });

    pub use self::exports::smtp::filter::on_message::*;
}

pub mod on_outcome {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package portcullis:plugin; world on-outcome { export smtp:filter/on-outcome@0.1.0; }",
        pub_export_macro: true,
        export_macro_name: "export_on_outcome",
    });

    pub use self::exports::smtp::filter::on_outcome::*;
}
