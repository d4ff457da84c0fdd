// Package export_smtp_filter_on_outcome is what the generated export calls.
package export_smtp_filter_on_outcome

import "portcullis.example/plugin/internal/wit/smtp_filter_on_outcome"

// Handle is set by the SDK.
var Handle func([]smtp_filter_on_outcome.Outcome)
