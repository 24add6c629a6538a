// What anthropic-typescript makes of `/v1/messages`: prints one JSON object, which the test compares.
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY, maxRetries: 0 });
const tools = [{ name: "get_weather", input_schema: { type: "object", properties: { city: { type: "string" } } } }];
const thinking = { type: "enabled", budget_tokens: 1024 };
const claude = "anthropic/claude-sonnet-4.6";

function ask(text, fields = {}) {
  return { model: "kimi-k2.6", max_tokens: 2000, messages: [{ role: "user", content: text }], ...fields };
}

const asked = {
  text: ask("[tokens=9]"),
  thinking: ask("[mock=signed_thinking] [tokens=6] [reasoning=6]", { model: claude, thinking }),
  tools: ask("[ids=same] [tools=2]", { tools }),
  heartbeats: ask("[tokens=5] [pace=8] [first=300]"),
};

// Ids differ from call to call, and the SDK adds keys of its own.
const dropped = new Set(["stop_details", "parsed_output", "_request_id"]);
function plain(message) {
  return JSON.parse(JSON.stringify({ ...message, id: "" }, (key, value) => (dropped.has(key) ? undefined : value)));
}

const results = {};
for (const [name, body] of Object.entries(asked)) {
  const whole = await client.messages.create(body);
  const stream = client.messages.stream(body);
  const events = [];
  stream.on("streamEvent", (event) => events.push(event.type));
  const final = await stream.finalMessage();
  results[name] = { whole: plain(whole), streamed: plain(final), events };
}

async function refusal(body, options = {}) {
  const stream = client.messages.stream(ask(body, options));
  return stream.finalMessage().then(
    () => "no error",
    (error) => ({ status: error.status ?? null, type: error.error?.error?.type ?? error.type ?? null }),
  );
}
results.failed = await refusal("[mock=error_mid] [pace=200]");
results.refused = await refusal("hi", { model: "nope" });
results.counted = (await client.messages.countTokens({ model: claude, messages: asked.text.messages })).input_tokens;
results.models = [];
for await (const model of client.models.list()) results.models.push(model.id);
results.model = (await client.models.retrieve(claude)).display_name;
results.text.read = "";
for await (const event of await client.messages.create({ ...asked.text, stream: true })) {
  if (event.type === "content_block_delta") results.text.read += event.delta.text;
}

console.log(JSON.stringify(results));
