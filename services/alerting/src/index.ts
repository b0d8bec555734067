export { type Alerting, type AlertingParts, createAlerting } from './alerting.ts';
export { type AlertingConfig, readAlertingConfig } from './config.ts';
