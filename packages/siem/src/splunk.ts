import { present } from './cairn-fields.ts';
import { type OcsfEvent, ocsfOfPlain } from './ocsf.ts';
import { plainEvent } from './plain-event.ts';
import type { StoredEvent } from './stored-event.ts';

/** One object of the HTTP Event Collector; a request's body is such objects one after another, not an array. */
export interface HecEvent {
  /** Seconds since 1970, with the milliseconds behind the point. */
  readonly time: number;
  readonly host: string;
  readonly source: string;
  readonly sourcetype: string;
  readonly index?: string;
  readonly event: OcsfEvent;
  /** Indexed fields: flat, texts. */
  readonly fields: Readonly<Record<string, string>>;
}

export interface HecOptions {
  /** Index to write to; without it the token's own. */
  readonly index?: string | undefined;
  /** Default `cairn:ocsf`. */
  readonly sourcetype?: string | undefined;
}

/**
 * An event as Splunk's HTTP Event Collector takes it ("Format events for HTTP Event Collector"). The body is the OCSF event,
 * which Splunk's OCSF-CIM add-on knows by class and version.
 */
export function hecEventOf(stored: StoredEvent, options: HecOptions = {}): HecEvent {
  const plain = plainEvent(stored);
  const { event } = plain;
  return {
    time: Math.floor(event.timestamp / 1_000) / 1_000,
    host: event.gateway_id,
    source: `cairn:${event.topic}`,
    sourcetype: options.sourcetype ?? 'cairn:ocsf',
    ...(options.index === undefined ? {} : { index: options.index }),
    event: ocsfOfPlain(plain),
    fields: present({
      event_id: event.event_id,
      org_id: event.org_id,
      kind: event.kind,
      decision: event.decision,
      result_status: event.result_status,
      agent_id: event.agent_id,
      service: event.service,
      tool_name: event.tool_name,
    }) as Readonly<Record<string, string>>,
  };
}
