// Package export_smtp_filter_on_headers is what the generated export calls.
package export_smtp_filter_on_headers

import "portcullis.example/plugin/internal/wit/smtp_filter_types"

// Handle is set by the SDK.
var Handle func(*smtp_filter_types.Session, *smtp_filter_types.Transaction, *smtp_filter_types.Message) smtp_filter_types.Verdict
