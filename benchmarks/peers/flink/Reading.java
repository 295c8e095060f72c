import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;

/** A record of the topic; a POJO by Flink's rules, so that Flink serialises it without Kryo. */
public class Reading {
    public String zone;
    public double value;

    public Reading() {}

    /** Parses with Jackson's streaming API: no tree, no reflection. */
    public static class Schema implements DeserializationSchema<Reading> {
        private transient JsonFactory json;

        @Override
        public void open(InitializationContext context) {
            json = new JsonFactory();
        }

        @Override
        public Reading deserialize(byte[] message) throws IOException {
            Reading reading = new Reading();
            try (JsonParser parser = json.createParser(message)) {
                parser.nextToken();
                while (parser.nextToken() == JsonToken.FIELD_NAME) {
                    String name = parser.currentName();
                    parser.nextToken();
                    if (name.equals("geoZone")) {
                        reading.zone = parser.getText();
                    } else if (name.equals("windSpeed")) {
                        reading.value = parser.getDoubleValue();
                    }
                }
            }
            return reading;
        }

        @Override
        public boolean isEndOfStream(Reading reading) {
            return false;
        }

        @Override
        public TypeInformation<Reading> getProducedType() {
            return TypeInformation.of(Reading.class);
        }
    }
}
