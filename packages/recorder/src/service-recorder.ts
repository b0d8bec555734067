import { join } from 'node:path';
import { openRecorder, type Recorder, type RecorderOptions } from './recorder.ts';

/** Who does something of his own accord, and where he keeps what is not shipped yet. */
export interface ServiceIdentity {
  /** The recorder has the folder `recorder` in it. */
  readonly dataDirectory: string;
  readonly deployment: string;
  /** Stands where a gateway's id would: one instance, one id. */
  readonly instance: string;
  readonly environment: string;
}

/** A service does little of its own: it need not say every five seconds, as a gateway does, that it did nothing. */
const HEARTBEAT_MS = 30_000;

/** The recorder of what a service itself did: an alert, a read, a delivery, a deletion. */
export function openServiceRecorder(
  service: ServiceIdentity,
  options: Pick<RecorderOptions, 'gatewayVersion' | 'log' | 'topicOf' | 'partitions' | 'onEvent'>,
): Promise<Recorder> {
  return openRecorder({
    ...options,
    directory: join(service.dataDirectory, 'recorder'),
    deployment: service.deployment,
    gatewayId: service.instance,
    environment: service.environment,
    capture: 'system',
    seal: { heartbeatMs: HEARTBEAT_MS },
  });
}
