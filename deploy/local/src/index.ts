export {
  CACHE_DIRECTORY,
  DATA_DIRECTORY,
  type PartName,
  type Ports,
  portsFrom,
  S3_ACCESS_KEY,
  S3_SECRET_KEY,
} from './config.ts';
export { installStrace } from './install.ts';
export { installGo } from './install-go.ts';
export {
  type PartStatus,
  prepareParts,
  startParts,
  startTestParts,
  statusParts,
  stopParts,
} from './parts.ts';
export type { Parts, RunningPart } from './running-part.ts';
export { freePort } from './running-process.ts';
export { NODE_OPTIONS, REPOSITORY, type ServiceProcess, startServiceProcess } from './service-process.ts';
