export { type All, createAll } from './all.ts';
export { type AllConfig, readAllConfig } from './config.ts';
