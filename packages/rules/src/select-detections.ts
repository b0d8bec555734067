import { ENUM_COLUMNS } from './field.ts';
import type { Detection, FieldName, RuleEvent } from './rule.ts';

/** What the enums of an event leave of the detections, in their order. */
export interface Candidates {
  /** Places in the list of detections. */
  readonly places: readonly number[];
  /** The enums decide it: the detection holds. */
  readonly isSure: readonly boolean[];
}

/** Lists that are remembered at most; schema and rules allow more combinations of enums than ever come. */
const REMEMBERED_MAX = 4_096;

interface Branch {
  readonly next: Map<unknown, Branch>;
  candidates: Candidates | undefined;
}

/**
 * Which detections may hold for an event. Most are ruled out by its enums (kind, phase, decision, …), of which some dozens of
 * combinations come again and again: each is asked once.
 */
export function candidateFinder(detections: readonly Detection[]): (event: RuleEvent) => Candidates {
  const columns = enumsOf(detections);
  let root = branch();
  let remembered = 0;
  return (event) => {
    let at = root;
    for (const column of columns) {
      const value = event[column];
      let next = at.next.get(value);
      if (next === undefined) {
        next = branch();
        at.next.set(value, next);
      }
      at = next;
    }
    if (at.candidates !== undefined) return at.candidates;
    const candidates = candidatesOf(detections, event);
    if (remembered === REMEMBERED_MAX) {
      root = branch();
      remembered = 0;
      return candidates;
    }
    remembered += 1;
    at.candidates = candidates;
    return candidates;
  };
}

const branch = (): Branch => ({ next: new Map(), candidates: undefined });

function enumsOf(detections: readonly Detection[]): FieldName[] {
  const read = new Set(detections.flatMap(({ fieldsRead }) => [...fieldsRead]));
  return [...ENUM_COLUMNS].filter((column) => read.has(column));
}

function candidatesOf(detections: readonly Detection[], event: RuleEvent): Candidates {
  const left = detections
    .map((detection, place) => ({ place, detection }))
    .filter(({ detection }) => detection.mayMatch(event));
  return {
    places: left.map(({ place }) => place),
    isSure: left.map(({ detection }) => detection.isDecided),
  };
}
