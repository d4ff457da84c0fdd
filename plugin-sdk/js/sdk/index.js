export { Authentication, Verdict } from './verdict.js';
export { Credentials, Recipient, Session, Transaction } from './envelope.js';
export { Message, Part, Reader, Writer } from './content.js';
export { GatewayError } from './host.js';
export { domainOf, ipVersion, isWithin, localPartOf, reversed } from './address.js';
export * as settings from './settings.js';
export { SettingsError } from './settings.js';
export * as log from './log.js';
export * as metrics from './metrics.js';
