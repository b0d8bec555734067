export type * from './api.gen.ts';
export { ApiProblem, type CairnClient, type ClientOptions, openClient } from './client.ts';
