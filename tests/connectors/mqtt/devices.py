"""What is at the other side of a broker in these tests: paho on its own threads, with nothing of ours."""

import threading
import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

WAIT_S = 10.0
LOOK_S = 0.005


class Device:
    """Connected when it is made; anybody who publishes, or listens."""

    def __init__(self, port: int, *, client_id: str = "", keeps: bool = False, modern: bool = True) -> None:
        """`keeps`: its session is there the next time."""
        version = paho.MQTTv5 if modern else paho.MQTTv311
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if modern else not keeps,
            protocol=version,
            reconnect_on_failure=False,
        )
        self.acknowledged: set[int] = set()
        self.heard: list[paho.MQTTMessage] = []
        self._subscribed = threading.Event()
        self.client.on_publish = lambda _c, _u, number, *_: self.acknowledged.add(number)
        self.client.on_message = lambda _c, _u, message: self.heard.append(message)
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        properties = None
        if modern:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 1000 if keeps else 0
        clean = not keeps if modern else paho.MQTT_CLEAN_START_FIRST_ONLY
        self.client.connect("127.0.0.1", port, clean_start=clean, properties=properties)
        self.client.loop_start()
        wait_until(self.client.is_connected)

    def publish(self, topic: str, payload: bytes | str, *, qos: int = 1, retain: bool = False, **more: Any) -> int:
        """Its number; more are properties of MQTT 5."""
        properties = Properties(PacketTypes.PUBLISH) if more else None
        for name, value in more.items():
            setattr(properties, name, value)
        return self.client.publish(topic, payload, qos, retain, properties).mid

    def publish_all(self, *messages: tuple[str, bytes | str]) -> None:
        """Returns when they are acknowledged."""
        numbers = {self.publish(topic, payload) for topic, payload in messages}
        wait_until(lambda: numbers <= self.acknowledged)

    def listen(self, written: str) -> None:
        """To a filter, with QoS 1."""
        self._subscribed.clear()
        self.client.subscribe(written, 1)
        assert self._subscribed.wait(WAIT_S)

    def close(self) -> None:
        """With a word."""
        self.client.disconnect()
        self.client.loop_stop()


def wait_until(done: Callable[[], bool]) -> None:
    """It becomes so, or the test fails."""
    end = time.perf_counter() + WAIT_S
    while not done():
        assert time.perf_counter() < end
        time.sleep(LOOK_S)
