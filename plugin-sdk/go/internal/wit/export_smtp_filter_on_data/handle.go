// Package export_smtp_filter_on_data is what the generated export calls.
package export_smtp_filter_on_data

import "portcullis.example/plugin/internal/wit/smtp_filter_types"

// Handle is set by the SDK.
var Handle func(*smtp_filter_types.Session, *smtp_filter_types.Transaction) smtp_filter_types.Verdict
