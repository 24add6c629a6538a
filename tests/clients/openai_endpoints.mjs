// What openai-node makes of every other endpoint: chat, embeddings, images, audio, models; and search, by `client.post`.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";

const asked = { model: "kimi-k2.6", messages: [{ role: "user", content: "[ids=same] [tokens=9]" }] };
const schema = { type: "object", properties: { city: { type: "string" }, days: { type: "integer" } } };
const plan = {
  model: "openai/gpt-5.4-mini",
  messages: [{ role: "user", content: "Plan a trip" }],
  response_format: { type: "json_schema", json_schema: { name: "trip", schema, strict: true } },
};
const spoken = { model: "aura-2-en", voice: "luna", input: "Good morning, everyone.", response_format: "pcm" };

async function chat(client) {
  const whole = await client.chat.completions.create(asked);
  let streamed = "";
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    streamed += chunk.choices[0]?.delta?.content ?? "";
  }
  const helper = client.chat.completions.stream({ ...asked, stream_options: { include_usage: true } });
  const final = await helper.finalChatCompletion();
  const parsed = await client.chat.completions.parse(plan);
  return {
    whole: whole.choices[0].message.content,
    streamed,
    final: final.choices[0].message.content,
    usages: [whole.usage, final.usage],
    parsed: parsed.choices[0].message.parsed,
  };
}

async function audio(client) {
  const file = () => createReadStream("speech.wav");
  const { transcriptions, translations, speech } = client.audio;
  const json = await transcriptions.create({ model: "nova-3", file: file() });
  const text = await transcriptions.create({ model: "nova-3", file: file(), response_format: "text" });
  const told = await transcriptions.create({
    model: "nova-3",
    file: file(),
    response_format: "verbose_json",
    timestamp_granularities: ["word"],
  });
  const english = await translations.create({ model: "saaras:v3", file: file(), response_format: "verbose_json" });
  const sound = Buffer.from(await (await speech.create(spoken)).arrayBuffer());
  return {
    texts: [json.text, text, told.text],
    words: told.words.length,
    english: [english.task, english.language, english.duration],
    sound: createHash("sha256").update(sound).digest("hex"),
  };
}

export async function endpoints(client) {
  const vectors = { model: "bge-m3", input: ["one", "three"] };
  const packed = await client.embeddings.create(vectors);
  const floats = await client.embeddings.create({ ...vectors, encoding_format: "float" });
  const image = await client.images.generate({ model: "lucid-origin", prompt: "a lamp", response_format: "b64_json" });
  const models = [];
  for await (const model of client.models.list()) models.push(model.id);
  const found = await client.post("/search", { body: { query: "what is trio", num_results: 3 } });
  return {
    chat: await chat(client),
    embeddings: [packed, floats].map((reply) => reply.data.map((item) => item.embedding.slice(0, 3))),
    image: image.data[0].b64_json,
    audio: await audio(client),
    models,
    model: (await client.models.retrieve("openai/gpt-5.4-mini")).id,
    found: found.results.length,
  };
}
