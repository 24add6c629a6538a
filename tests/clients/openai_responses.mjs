// What openai-node makes of `/v1/responses`.
const model = "openai/gpt-5.4-mini";
const tools = [
  {
    type: "function",
    name: "get_weather",
    strict: true,
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
      additionalProperties: false,
    },
  },
];
const asked = {
  text: { model, input: "[tokens=9]" },
  reasoning: { model, input: "[tokens=6] [reasoning=6]", reasoning: { effort: "high" } },
  tools: { model, input: "[ids=same] [tools=2]", tools },
  heartbeats: { model: "kimi-k2.6", input: "[tokens=5] [pace=8] [first=300]" },
};

// Ids differ from call to call, and the SDK adds what it has parsed.
function plain(response) {
  const own = response.id.replace("resp_", "");
  const dropped = new Set(["created_at", "completed_at", "parsed", "parsed_arguments", "output_parsed", "_request_id"]);
  const text = JSON.stringify(response, (key, value) => (dropped.has(key) ? undefined : value));
  return JSON.parse(text.replaceAll(own, "ID"));
}

export async function responses(client) {
  const results = {};
  for (const [name, body] of Object.entries(asked)) {
    const whole = await client.responses.create(body);
    const stream = client.responses.stream(body);
    const events = [];
    stream.on("event", (event) => events.push(event.type));
    const final = await stream.finalResponse();
    results[name] = { whole: plain(whole), streamed: plain(final), text: final.output_text, events };
  }

  const failing = { model, input: "[mock=error_mid] [pace=200]" };
  results.failed = [];
  for await (const event of await client.responses.create({ ...failing, stream: true })) {
    results.failed.push(event.type === "response.failed" ? event.response.error.code : event.type);
  }

  const kept = await client.responses.create({ model, input: "[tokens=3] kept" });
  const read = await client.responses.retrieve(kept.id);
  const items = await client.responses.inputItems.list(kept.id);
  await client.responses.delete(kept.id);
  const gone = await client.responses.retrieve(kept.id).catch((error) => error.status);
  results.stored = { same: read.id === kept.id, item: items.data[0].content[0].text, gone };

  return results;
}
