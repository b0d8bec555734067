export { type DatadogLog, type DatadogOptions, datadogLogOf } from './datadog.ts';
export { ECS_VERSION, type EcsDocument, ecsOf } from './ecs.ts';
export { OCSF_VERSION, type OcsfEvent, ocsfOf } from './ocsf.ts';
export { DETAIL_MAX, ITEMS_MAX, TEXT_MAX } from './plain-event.ts';
export { type HecEvent, type HecOptions, hecEventOf } from './splunk.ts';
export {
  FIELDS as SIEM_FIELDS,
  type ProofCoordinates,
  type ShownFields,
  type StoredEvent,
  storedEvent,
} from './stored-event.ts';
export { SYSLOG_BYTES_MIN, type SyslogOptions, syslogMessageOf } from './syslog.ts';
