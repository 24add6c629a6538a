// All that openai-node is asked to do, in one process: prints one JSON object, which the test compares.
import OpenAI from "openai";

import { endpoints } from "./openai_endpoints.mjs";
import { responses } from "./openai_responses.mjs";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY, maxRetries: 0 });
console.log(JSON.stringify({ responses: await responses(client), endpoints: await endpoints(client) }));
