export type { Finding } from './finding.ts';
export {
  openRecorder,
  type RecordDraft,
  type Recorder,
  type RecorderEvent,
  type RecorderOptions,
  type RecorderStats,
} from './recorder.ts';
export { openServiceRecorder, type ServiceIdentity } from './service-recorder.ts';
export type { EventLog } from './shipper.ts';
export type { Recorded } from './writer.ts';
