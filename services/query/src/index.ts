export { type QueryConfig, readQueryConfig } from './config.ts';
export { openApiOf } from './describe-api.ts';
export { createQuery, type Query, type QueryParts } from './query.ts';
export { ROUTES } from './routes.ts';
