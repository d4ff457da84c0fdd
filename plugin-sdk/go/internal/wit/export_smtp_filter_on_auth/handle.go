// Package export_smtp_filter_on_auth is what the generated export calls.
package export_smtp_filter_on_auth

import "portcullis.example/plugin/internal/wit/smtp_filter_on_auth"

// Handle is set by the SDK.
var Handle func(*smtp_filter_on_auth.Session, smtp_filter_on_auth.Credentials) smtp_filter_on_auth.Answer
