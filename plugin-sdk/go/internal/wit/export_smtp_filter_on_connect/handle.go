// Package export_smtp_filter_on_connect is what the generated export calls.
package export_smtp_filter_on_connect

import "portcullis.example/plugin/internal/wit/smtp_filter_types"

// Handle is set by the SDK.
var Handle func(*smtp_filter_types.Session) smtp_filter_types.Verdict
