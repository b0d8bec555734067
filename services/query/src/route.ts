import type { Role, Scope } from '@cairn/access';
import type { ClickHouse } from '@cairn/adapters';
import type { SubjectKeys } from '@cairn/privacy';
import type { z } from 'zod';
import type { Caller } from './authenticate.ts';
import type { ApiArchive } from './open-archive.ts';
import type { SharedClaims } from './shared-claims.ts';

/** What every handler gets. */
export interface Asked<Path, Search, Body> {
  readonly caller: Caller;
  /** As in X-Request-Id. */
  readonly requestId: string;
  readonly path: Path;
  readonly query: Search;
  readonly body: Body;
  /** Microseconds since 1970, when the request came. */
  readonly now: number;
  readonly clickhouse: ClickHouse;
  /** For analysts' statements. */
  readonly analyst: ClickHouse;
  /** The installation's own organisation, which its jobs are recorded in. */
  readonly installationOrg: string;
  /** Name of the installation. */
  readonly deployment: string;
  /** Undefined where none is configured. */
  readonly archive: ApiArchive | undefined;
  /** Keys of sealed values; undefined where none are configured. */
  readonly subjectKeys: Pick<SubjectKeys, 'openKey'> | undefined;
  /** What processes of this service know together. */
  readonly claims: SharedClaims;
  /** Versions that the caller names with `If-Match`, without quotes; undefined without the header. */
  readonly ifMatch: readonly string[] | undefined;
  /** What the caller sent as `Last-Event-ID`, where the route goes on behind it. */
  readonly lastEventId: string | undefined;
  /** Aborts when the caller has gone or the service stops. */
  readonly signal: AbortSignal;
}

/** Facts that stand in the audit event of a request: counts, digests, names. Nothing that was found. */
export type Facts = Readonly<Record<string, string | number | boolean | readonly string[]>>;

export interface Answered<Body> {
  readonly body: Body;
  readonly facts: Facts;
  readonly status?: 200 | 201 | 204;
  /** Names the version: a validator, which a caller may send back with `If-None-Match` or `If-Match`. */
  readonly etag?: string;
}

/** Something that is done and not only read, not yet done: do-act.ts does it, between two events. Whatever refuses it has been asked before. */
export interface Act<Body> {
  /** What it is going to be done to: stands in the decision, and in the outcome. */
  readonly facts: Facts;
  /**
   * Does it; resolves when it is durable.
   *
   * @throws Refusal when it is known that nothing was done; anything else when nobody knows.
   */
  apply(): Promise<Answered<Body>>;
  /**
   * Only for what takes away a right: does it where its decision cannot be recorded, durable together with what the trail is owed.
   *
   * @returns what the caller is told.
   */
  readonly withoutDecision?: () => Promise<string>;
}

/** Pieces that are sent as they are made. The audit event is written before the first. */
export interface Streamed {
  readonly stream: AsyncIterable<Uint8Array | string>;
  readonly contentType: string;
  readonly filename?: string;
  /** Cursor of the place before the first row: whoever was cut off makes the next one of it. */
  readonly start?: string;
  /** First day that the store holds which alone was asked; null while it holds none. */
  readonly hotFrom?: string | null;
  /** Rows that there were when it began: what ends with fewer is not whole, whatever carried it says. */
  readonly count?: number;
  /** When the service stops, it says so itself and ends; anything else is broken off, so that nobody takes it for whole. */
  readonly endsInOrder?: boolean;
  readonly facts: Facts;
  /** Facts once all of it was sent, or what of it was. */
  readonly ended: () => Facts;
}

/** One route: who may, what it takes and gives, what is recorded of it, and its work. The table of all is in routes.ts. */
export interface Route<
  Path extends z.ZodObject = z.ZodObject,
  Search extends z.ZodObject = z.ZodObject,
  Body extends z.ZodType = z.ZodType,
  Response extends z.ZodType = z.ZodType,
> {
  /** Name in the description and in clients. */
  readonly id: string;
  readonly method: 'get' | 'post' | 'put' | 'delete';
  /** `{name}` stands for a part. */
  readonly path: string;
  readonly summary: string;
  readonly roles: readonly Role[];
  readonly scope: Scope;
  /** Kind and method of the audit event of each request. */
  readonly recorded: readonly ['audit_access' | 'export' | 'admin', string];
  readonly parameters?: Path;
  readonly query?: Search;
  readonly body?: Body;
  readonly response: Response;
  /** Creates something: `Idempotency-Key` keeps a repetition from creating another one. */
  readonly creates?: boolean;
  /** `If-Match` has to name the version that is changed, or may. */
  readonly ifMatch?: 'required' | 'optional';
  /** Asks what an installation may be without, an archive or keys (`not-configured`), or what they may not hold (`not-found`). */
  readonly mayLack?: boolean;
  /** Takes one of the few places for what runs long; a stream does so as well. */
  readonly isHeavy?: boolean;
  /** Where pieces are sent: their content types. */
  readonly streams?: readonly string[];
  /** What was cut off goes on behind its last whole row: the headers of its answer say how. */
  readonly isResumable?: boolean;
  /** `Last-Event-ID` says behind which server-sent event it goes on. */
  readonly goesOn?: boolean;
  answer(
    asked: Asked<z.infer<Path>, z.infer<Search>, z.infer<Body>>,
  ): Promise<Answered<z.input<Response>> | Act<z.input<Response>> | Streamed>;
}

/** Characters of an `If-Match` header. */
export const IF_MATCH_MAX = 1_024;

/** Keeps the types of a route's parts together. */
export function route<P extends z.ZodObject, S extends z.ZodObject, B extends z.ZodType, R extends z.ZodType>(
  of: Route<P, S, B, R>,
): Route {
  return of as unknown as Route;
}
