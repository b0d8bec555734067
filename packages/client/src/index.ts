export type * from './api.gen.ts';
export { ApiProblem, type CairnClient, type ClientOptions, openClient, type TailOptions } from './client.ts';
export type { TailedEvent } from './tail.ts';
