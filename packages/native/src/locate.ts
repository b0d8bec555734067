import type { Plan, PlannedField } from './plan.ts';

/** How to pass over one field: what it is and, for fixed bytes, how many. */
export interface Passing {
  readonly kinds: Uint8Array;
  /** 1 for a field that may be absent: one byte says so before the value. */
  readonly nullable: Uint8Array;
  readonly sizes: Int32Array;
  readonly plans: readonly Plan[];
}

const VARINT = 0;
const TEXT = 1;
const FIXED = 2;
const OTHER = 3;

/** How to pass over the fields of a writer's schema. */
export function passingOf(fields: readonly PlannedField[]): Passing {
  const plans = fields.map(({ plan }) => plan);
  return {
    plans,
    kinds: Uint8Array.from(plans, (plan) => kindOf(plan.kind === 'nullable' ? plan.of : plan)),
    nullable: Uint8Array.from(plans, (plan) => (plan.kind === 'nullable' ? 1 : 0)),
    sizes: Int32Array.from(plans, (plan) => fixedSize(plan.kind === 'nullable' ? plan.of : plan)),
  };
}

function kindOf(plan: Plan): number {
  switch (plan.kind) {
    case 'int32':
    case 'int64':
    case 'enum':
      return VARINT;
    case 'string':
    case 'dictionary':
      return TEXT;
    case 'fixed':
    case 'uuid':
    case 'float':
    case 'boolean':
      return FIXED;
    default:
      return OTHER;
  }
}

function fixedSize(plan: Plan): number {
  if (plan.kind === 'fixed' || plan.kind === 'float') return plan.size;
  return plan.kind === 'uuid' ? 16 : 1;
}

/**
 * Notes where each field of a datum begins. The datum was walked: nothing is checked here.
 *
 * @param positions one for each field is written from `into` on.
 */
export function locate(
  { kinds, nullable, sizes, plans }: Passing,
  bytes: Uint8Array,
  start: number,
  positions: Int32Array,
  into: number,
): void {
  let p = start;
  for (let field = 0; field < kinds.length; field += 1) {
    positions[into + field] = p;
    if (nullable[field] === 1 && bytes[p++] === 0) continue;
    switch (kinds[field]) {
      case VARINT:
        while (bytes[p++]! > 127);
        break;
      case TEXT: {
        const size = bytes[p++]!;
        p = size < 128 ? p + (size >> 1) : passText(bytes, p - 1);
        break;
      }
      case FIXED:
        p += sizes[field]!;
        break;
      default:
        // An empty array is one byte.
        p = bytes[p] === 0 && plans[field]!.kind === 'array' ? p + 1 : pass(plans[field]!, bytes, p);
    }
  }
}

/** Where the value of a plan that begins here ends. */
export function pass(plan: Plan, bytes: Uint8Array, from: number): number {
  let p = from;
  switch (plan.kind) {
    case 'string':
    case 'dictionary':
      return passText(bytes, p);
    case 'int32':
    case 'int64':
    case 'enum':
      while (bytes[p++]! > 127);
      return p;
    case 'nullable':
      return bytes[p] === 0 ? p + 1 : pass(plan.of, bytes, p + 1);
    case 'tuple':
      for (const field of plan.fields) p = pass(field.plan, bytes, p);
      return p;
    case 'array': {
      const count = readVarint(bytes, p) / 2;
      p = varintEnd.at;
      for (let item = 0; item < count; item += 1) p = pass(plan.of, bytes, p);
      return count > 0 ? p + 1 : p;
    }
    default:
      return p + fixedSize(plan);
  }
}

function passText(bytes: Uint8Array, from: number): number {
  const size = readVarint(bytes, from) / 2;
  return varintEnd.at + size;
}

/** Where the varint that was read last ended. */
export const varintEnd = { at: 0 };

/** A varint, not yet un-zigzagged: twice the number, or one less than twice its negative. Sets `varintEnd`. */
export function readVarint(bytes: Uint8Array, from: number): number {
  let at = from;
  let byte = bytes[at++]!;
  let value = byte & 127;
  for (let scale = 128; byte > 127; scale *= 128) {
    byte = bytes[at++]!;
    value += (byte & 127) * scale;
  }
  varintEnd.at = at;
  return value;
}
