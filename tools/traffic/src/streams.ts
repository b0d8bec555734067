import { AUDIT_EVENT_SCHEMA_ID, encodeDatum, leafHash } from '@cairn/event';
import { genesisHash } from '@cairn/ledger';
import type { LaterPace, TrafficEvent } from './traffic.ts';
import { trafficOf } from './traffic.ts';

export interface ChainedDatum {
  readonly org: string;
  readonly gateway: string;
  readonly seq: number;
  readonly datum: Uint8Array;
}

export interface StreamsOptions {
  readonly seed: number;
  /** Gateways that record at the same time; they belong to a few organisations. */
  readonly gateways: number;
  readonly startMicros?: number;
  /** Events of one gateway for each second of the events' own time. */
  readonly eventsPerSecond?: number;
  /** Another pace of each gateway from that of its events on. */
  readonly later?: LaterPace;
  /** Agents of each gateway; a few of them do most of the work. */
  readonly agents?: number;
  /** Sessions of each gateway that go on at the same time. */
  readonly sessions?: number;
  /** Every agent calls each of its tools once before anything else happens. */
  readonly rollCall?: boolean;
  /** Little happens that is worth telling. */
  readonly calm?: boolean;
  /** Signs for a gateway: then its stream is opened, and its signatures verify. */
  readonly signerOf?: (org: string, gateway: string) => DatumSigner;
}

export interface DatumSigner {
  readonly keyId: string;
  /** @returns 64 bytes. */
  sign(datum: Uint8Array): Uint8Array;
}

const SEAL_EVERY = 256;

/**
 * The streams of several gateways, one event of each in turn, chained and sealed as recorders do. Signatures are any
 * bytes unless a signer is given: whoever measures is not to pay for 64 bytes that nobody checks on the way.
 */
export function* streamsOf(options: StreamsOptions): Generator<ChainedDatum, never> {
  const streams = Array.from({ length: options.gateways }, (_, index) => ({
    org: `org-${index % Math.max(1, Math.ceil(options.gateways / 3))}`,
    gateway: `gw-${String(index).padStart(3, '0')}`,
    seq: 0,
    prevHash: undefined as Uint8Array | undefined,
    events: undefined as Generator<TrafficEvent, never> | undefined,
    signer: undefined as DatumSigner | undefined,
  }));
  for (let turn = 0; ; turn += 1) {
    const stream = streams[turn % streams.length]!;
    const { org, gateway } = stream;
    stream.events ??= trafficOf({
      seed: options.seed * 1_000 + turn,
      org,
      gateway,
      ...(options.startMicros === undefined ? {} : { startMicros: options.startMicros }),
      ...(options.eventsPerSecond === undefined ? {} : { eventsPerSecond: options.eventsPerSecond }),
      ...(options.later === undefined ? {} : { later: options.later }),
      ...(options.agents === undefined ? {} : { agents: options.agents }),
      ...(options.sessions === undefined ? {} : { sessions: options.sessions }),
      ...(options.rollCall === undefined ? {} : { rollCall: options.rollCall }),
      ...(options.calm === undefined ? {} : { calm: options.calm }),
    });
    stream.signer ??= options.signerOf?.(org, gateway);
    const { signer } = stream;
    const event = stream.events.next().value;
    const isOpening = signer !== undefined && stream.seq === 0;
    const isSeal = stream.seq % SEAL_EVERY === SEAL_EVERY - 1;
    const datum = encodeDatum({
      ...(isOpening || isSeal ? ownAt(isOpening ? 'stream_open' : 'seal', event, stream.seq) : event),
      epoch: 1,
      seq: stream.seq,
      prev_hash: stream.prevHash ?? genesisHash(org, gateway, 1, new Uint8Array(32)),
      key_id: signer?.keyId ?? '5f3a9c01',
      signature: isOpening || isSeal ? SIGNATURE : null,
    });
    if (signer !== undefined && (isOpening || isSeal)) datum.set(signer.sign(datum), datum.length - 64);
    stream.prevHash = leafHash(AUDIT_EVENT_SCHEMA_ID, datum);
    yield { org, gateway, seq: stream.seq, datum };
    stream.seq += 1;
  }
}

const SIGNATURE = new Uint8Array(64).fill(0xa5);

/** What the recorder says of itself, in the place of an event of the same moment. */
function ownAt(kind: 'stream_open' | 'seal', event: TrafficEvent, seq: number): TrafficEvent {
  return {
    ...event,
    kind,
    phase: 'single',
    capture: 'system',
    call_id: null,
    agent_id: '',
    agent_version: '',
    principal_type: 'unknown',
    user_id: '',
    auth_method: '',
    session_id: '',
    session_source: 'unknown',
    step: null,
    client_name: '',
    client_version: '',
    source_ip: '',
    protocol: 'unknown',
    protocol_version: '',
    method: '',
    service: '',
    tool_name: '',
    tool_hash: null,
    action: 'unknown',
    sensitivity: 'unknown',
    data_classes: [],
    parameters_hash: null,
    parameters_shape: '',
    parameters_kept: [],
    parameters_size: null,
    result_status: 'unknown',
    error_code: '',
    error_message: '',
    response_hash: null,
    response_size: null,
    latency_ms: null,
    upstream_ms: null,
    redactions: [],
    trace_id: null,
    span_id: null,
    attempt: null,
    decision: 'unknown',
    policy_engine: '',
    policy_set_hash: null,
    rules_evaluated: [],
    rules_matched: [],
    enforcement: 'unknown',
    detail: `{"clock_shift_ms":0,"recorded":${seq},"refused":0,"shipped":${seq - 40},"unshipped":40}`,
  };
}
