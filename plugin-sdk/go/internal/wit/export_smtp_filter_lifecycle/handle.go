// Package export_smtp_filter_lifecycle is what the generated export calls.
package export_smtp_filter_lifecycle

import "portcullis.example/plugin/internal/wit/smtp_filter_lifecycle"
import "portcullis.example/plugin/internal/wit/types"

// Configure is set by the SDK.
var Configure func(string) wit_types.Result[smtp_filter_lifecycle.Subscription, string]
