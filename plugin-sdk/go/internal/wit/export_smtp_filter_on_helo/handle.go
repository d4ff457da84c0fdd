// Package export_smtp_filter_on_helo is what the generated export calls.
package export_smtp_filter_on_helo

import "portcullis.example/plugin/internal/wit/smtp_filter_types"

// Handle is set by the SDK.
var Handle func(*smtp_filter_types.Session, string) smtp_filter_types.Verdict
