export {
  reconstructSession,
  type Session,
  type SessionFinding,
  type SessionStep,
} from './reconstruct-session.ts';
export { type RenderOptions, renderSession } from './render-session.ts';
export type { SessionEvent } from './session-event.ts';
export { visible } from './visible.ts';
